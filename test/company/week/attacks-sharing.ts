/** Attacks that hand data to another company or take its keys away, by means made for both. */

import { act } from '../act.ts';
import { ACCOUNT, catalogIds, HOUR_MS, MINUTE_MS, type Params, type Scheme } from './stage.ts';

const ROOM = { clean_room_name: 'audience_overlap' };

export const SHARING_PLOTS: Record<string, Scheme> = {
  clean_room_opened: {
    title: 'A clean room with an unknown partner, customer tables in it, and nobody to approve',
    day: 2,
    hour: 15.4,
    rules: ['clean_room_changed'],
    steps(stage) {
      const { insider, company, random } = stage;
      const collaborator = JSON.stringify({ global_metastore_id: random.uuid() });
      const step = (action: string, params: Params) =>
        act(stage, insider, `clean-room.${action}`, { ...ROOM, ...params }, ACCOUNT);
      return [
        { afterMs: 0, action: step('createCleanRoom', { remote_detailed_info: collaborator }) },
        ...company.tables.slice(20, 24).map((name, at) => ({
          afterMs: (4 + at) * MINUTE_MS,
          action: step('createCleanRoomAsset', { asset: JSON.stringify({ name }) }),
        })),
        {
          afterMs: 12 * MINUTE_MS,
          action: step('createCleanRoomAutoApprovalRule', { rule_id: random.uuid() }),
        },
      ];
    },
  },
  listing_of_company_data: {
    title: 'Tables put into a share and offered to everybody in the marketplace',
    day: 4,
    hour: 16.2,
    rules: ['marketplace_listing_published'],
    steps(stage) {
      const { insider, company, random } = stage;
      const ids = catalogIds(stage);
      const listing = { listing_id: random.uuid() };
      const updates = JSON.stringify([
        { action: 'ADD', data_object: { name: company.tables[31]!, data_object_type: 'TABLE' } },
      ]);
      const share = 'industry_sample';
      const steps = [
        act(stage, insider, 'unityCatalog.createShare', { name: share, ...ids }, ACCOUNT),
        act(stage, insider, 'unityCatalog.updateShare', { name: share, updates, ...ids }, ACCOUNT),
        act(stage, insider, 'marketplaceProvider.createListing', listing, ACCOUNT),
        act(
          stage,
          insider,
          'marketplaceProvider.createShareMarketplaceListingLink',
          { ...listing, share_name: share },
          ACCOUNT,
        ),
      ];
      return steps.map((action, at) => ({ afterMs: at * 5 * MINUTE_MS, action }));
    },
  },
  foreign_customer_managed_key: {
    title: 'A key of a foreign account configured, and the old configuration deleted',
    day: 5,
    hour: 20.7,
    rules: ['customer_managed_key_changed'],
    steps(stage) {
      const { insider, company, random } = stage;
      const pair = (verb: string) =>
        `accountsManager.${verb}CustomerManagedKeyConfiguration` as const;
      const key = 'arn:aws:kms:eu-central-1:000000000000:key/00000000-0000-4000-8000-000000000009';
      const made: Params = {
        account_id: company.accountId,
        customer_managed_key_id: random.uuid(),
        aws_key_info: JSON.stringify({ key_arn: key }),
        use_cases: '["MANAGED_SERVICES","STORAGE"]',
      };
      const old: Params = {
        account_id: company.accountId,
        customer_managed_key_id: random.uuid(),
      };
      return [
        { afterMs: 0, action: act(stage, insider, pair('list'), {}, ACCOUNT) },
        { afterMs: 2 * MINUTE_MS, action: act(stage, insider, pair('create'), made, ACCOUNT) },
        { afterMs: HOUR_MS, action: act(stage, insider, pair('delete'), old, ACCOUNT) },
      ];
    },
  },
};
