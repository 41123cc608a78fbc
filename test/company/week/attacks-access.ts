/** Attacks on identities and credentials that several events give away together. */

import { act } from '../act.ts';
import type { Principal } from '../company.ts';
import type { Machine } from './company.ts';
import {
  ACCOUNT,
  burst,
  failure,
  from,
  HOUR_MS,
  MINUTE_MS,
  OUTSIDE,
  OUTSIDE_AGENTS,
  type Scheme,
  SECOND_MS,
  type Stage,
  type Step,
} from './stage.ts';

const BAD_PASSWORD = failure(401, 'Invalid credentials');

export const ACCESS_PLOTS: Record<string, Scheme> = {
  brute_force: {
    title: 'One account, fourteen passwords',
    day: 1,
    hour: 2.2,
    rules: ['failed_logins_of_one_user'],
    steps(stage) {
      const intruder = from(stage.victim, OUTSIDE[1], OUTSIDE_AGENTS[0]);
      const params = { user: intruder.name, authenticationMethod: 'PASSWORD' };
      return burst(14, 20 * SECOND_MS, () =>
        act(stage, intruder, 'accounts.login', params, BAD_PASSWORD),
      );
    },
  },
  password_spray: {
    title: 'One address tries thirty accounts',
    day: 2,
    hour: 23.1,
    rules: ['password_spray'],
    steps: (stage) =>
      burst(30, 9 * SECOND_MS, (at) => {
        const target = from(stage.others[at]!, OUTSIDE[2], OUTSIDE_AGENTS[1]);
        const params = { user: target.name, authenticationMethod: 'PASSWORD' };
        return act(stage, target, 'accounts.login', params, BAD_PASSWORD);
      }),
  },
  failed_then_success: {
    title: 'Ten failed logins, then one that succeeds',
    day: 3,
    hour: 1.4,
    rules: ['failed_logins_then_success'],
    steps(stage) {
      const intruder = from(stage.victim, OUTSIDE[3], OUTSIDE_AGENTS[0]);
      const params = { user: intruder.name, authenticationMethod: 'PASSWORD' };
      return burst(11, 45 * SECOND_MS, (at) =>
        act(stage, intruder, 'accounts.login', params, at < 10 ? BAD_PASSWORD : {}),
      );
    },
  },
  session_hijack: {
    title: 'One browser session, three networks and three programs',
    day: 1,
    hour: 10.5,
    rules: ['session_from_many_addresses'],
    steps(stage) {
      const { victim, random } = stage;
      const stolen = [
        victim,
        { ...from(victim, OUTSIDE[0], OUTSIDE_AGENTS[0]), sessionId: victim.sessionId },
        { ...from(victim, OUTSIDE[2], OUTSIDE_AGENTS[1]), sessionId: victim.sessionId },
      ];
      return burst(15, 4 * MINUTE_MS, (at) => {
        const params = { notebookId: random.digits(16), path: `/Shared/nb-${at}` };
        return act(stage, stolen[at % 3]!, 'notebook.openNotebook', params);
      });
    },
  },
  impossible_travel: {
    title: 'Signed in at the office and, 50 minutes later, on another continent',
    day: 2,
    hour: 9.3,
    rules: ['impossible_travel'],
    steps(stage) {
      const far = from(stage.victim, OUTSIDE[1], stage.victim.userAgent);
      const params = { user: far.name, authenticationMethod: 'BROWSER_BYO_IDP_SAML' };
      return [
        { afterMs: 0, action: act(stage, stage.victim, 'accounts.samlLogin', params) },
        { afterMs: 50 * MINUTE_MS, action: act(stage, far, 'accounts.samlLogin', params) },
      ];
    },
  },
  new_country_login: {
    title: 'Signed in from a country and a network never seen for this person',
    day: 6,
    hour: 3.5,
    rules: ['login_from_new_country', 'login_from_new_country_with_new_agent'],
    steps(stage) {
      const far = from(stage.victim, OUTSIDE[2], OUTSIDE_AGENTS[2]);
      const params = { user: far.name, authenticationMethod: 'BROWSER_BYO_IDP_SAML' };
      return [{ afterMs: 0, action: act(stage, far, 'accounts.samlLogin', params) }];
    },
  },
  many_addresses_many_agents: {
    title: 'Within an hour signed in from six addresses with three programs',
    day: 4,
    hour: 21.5,
    rules: ['logins_from_many_addresses_and_agents'],
    steps: (stage) =>
      burst(18, 3 * MINUTE_MS, (at) => {
        const address = `192.0.2.${200 + (at % 6)}`;
        const intruder = from(stage.victim, address, OUTSIDE_AGENTS[at % 3]!);
        const params = { user: intruder.name, authenticationMethod: 'BROWSER_BYO_IDP_SAML' };
        return act(stage, intruder, 'accounts.samlLogin', params);
      }),
  },
  many_users_one_address: {
    title: 'One foreign address uses two dozen accounts',
    day: 5,
    hour: 4.2,
    rules: ['many_users_from_one_address'],
    steps: (stage) =>
      burst(24, 2 * MINUTE_MS, (at) => {
        const target = from(stage.others[at + 8]!, '192.0.2.31', OUTSIDE_AGENTS[2]);
        const tokenId = target.tokenId;
        const params = { user: target.name, authenticationMethod: 'API_EXT_PAT_TOKEN', tokenId };
        return act(stage, target, 'accounts.tokenLogin', params);
      }),
  },
  denied_addresses: {
    title: 'Refused at the access list from seven addresses in turn',
    day: 3,
    hour: 22.2,
    rules: ['access_denied_from_many_addresses'],
    steps: (stage) =>
      burst(28, 80 * SECOND_MS, (at) => {
        const address = `192.0.2.${150 + (at % 7)}`;
        const intruder = from(stage.victim, address, OUTSIDE_AGENTS[0]);
        const user = intruder.name;
        if (at % 2 === 0) {
          const params = { user, sourceIpAddress: address };
          const more = { ...ACCOUNT, ...failure(403, 'IP not in the allow list') };
          return act(stage, intruder, 'accounts.accountIpAclsValidationFailed', params, more);
        }
        const params = { path: '/api/2.0/clusters/list', user, userId: intruder.userId };
        return act(stage, intruder, 'accounts.IpAccessDenied', params, failure(403, 'Denied'));
      }),
  },
  databricks_staff: {
    title: 'Somebody of the vendor enters the workspace',
    day: 2,
    hour: 12.3,
    rules: ['databricks_personnel_access'],
    steps: (stage) => [
      {
        afterMs: 0,
        action: act(stage, stage.victim, 'genie.databricksAccess', {
          user: 'support@example.com',
          approver: stage.victim.name,
          duration: '86400000',
          reason: 'ticket',
        }),
      },
    ],
  },
  token_from_many_addresses: {
    title: 'One token used from six addresses',
    day: 4,
    hour: 11.2,
    rules: ['access_token_from_many_addresses'],
    steps: (stage) =>
      burst(24, 5 * MINUTE_MS, (at) => {
        const address = [...OUTSIDE, '192.0.2.14', '192.0.2.211'][at % 6]!;
        const thief = from(stage.victim, address, OUTSIDE_AGENTS[0]);
        const { name: user, tokenId } = thief;
        const params = { user, authenticationMethod: 'API_EXT_PAT_TOKEN', tokenId };
        return act(stage, thief, 'accounts.tokenLogin', params);
      }),
  },
  token_used_elsewhere: {
    title: 'A token made at the office and used abroad at once',
    day: 1,
    hour: 15.2,
    rules: ['access_token_created_then_used_elsewhere'],
    steps(stage) {
      const { insider, random, startMs } = stage;
      const tokenId = random.hex(64);
      const far = from(insider, OUTSIDE[3], OUTSIDE_AGENTS[1]);
      const made = {
        userId: insider.userId,
        tokenHash: tokenId,
        tokenExpirationTime: startMs + 24 * HOUR_MS,
      };
      const used = { user: insider.name, authenticationMethod: 'API_EXT_PAT_TOKEN', tokenId };
      return [
        { afterMs: 0, action: act(stage, insider, 'accounts.generateDbToken', made) },
        ...burst(6, MINUTE_MS, () => act(stage, far, 'accounts.tokenLogin', used), 8 * MINUTE_MS),
      ];
    },
  },
  token_revocation_burst: {
    title: 'Thirty tokens of others revoked',
    day: 5,
    hour: 16.1,
    rules: ['access_tokens_revoked_in_bulk'],
    steps: (stage) =>
      burst(30, 8 * SECOND_MS, () =>
        act(stage, stage.insider, 'accounts.revokeDbToken', { tokenId: stage.random.hex(64) }),
      ),
  },
  secret_enumeration: {
    title: 'Secret scopes listed, then forty secrets read',
    day: 3,
    hour: 13.6,
    rules: ['secret_enumeration'],
    steps(stage) {
      const { insider } = stage;
      const read = (at: number) => ({ scope: `scope-${at % 4}`, key: `key-${at}` });
      return [
        { afterMs: 0, action: act(stage, insider, 'secrets.listScopes', {}) },
        ...burst(
          40,
          4 * SECOND_MS,
          (at) => act(stage, insider, 'secrets.getSecret', read(at)),
          10 * SECOND_MS,
        ),
      ];
    },
  },
  service_principal_key: {
    title: 'Somebody gives a service principal a secret and signs in as it from their own desk',
    day: 4,
    hour: 8.4,
    rules: ['service_principal_secret_used_by_its_creator'],
    steps(stage) {
      const machine = stage.company.machines.find(({ duty }) => duty === 'etl')!;
      const own = from(machine, stage.insider.addresses[0]!, OUTSIDE_AGENTS[2]);
      return newSecret(stage, machine, own);
    },
  },
  service_principal_abroad: {
    title: 'A service principal with a new secret signs in from a network it never used',
    day: 3,
    hour: 16.3,
    rules: ['service_principal_from_new_network'],
    steps(stage) {
      const machine = stage.company.machines.find(({ duty }) => duty === 'dashboards')!;
      return newSecret(stage, machine, from(machine, OUTSIDE[0], OUTSIDE_AGENTS[2]));
    },
  },
  password_spray_succeeded: {
    title: 'A spray over a dozen accounts of which the last one opens',
    day: 1,
    hour: 4.8,
    rules: ['password_spray_succeeded'],
    steps: (stage) =>
      burst(13, 25 * SECOND_MS, (at) => {
        const target = from(stage.others[at + 12]!, '192.0.2.44', OUTSIDE_AGENTS[0]);
        const params = { user: target.name, authenticationMethod: 'PASSWORD' };
        return act(stage, target, 'accounts.login', params, at < 12 ? BAD_PASSWORD : {});
      }),
  },
  failed_logins_from_one_address: {
    title: 'One address fails forty times within five minutes',
    day: 6,
    hour: 22.1,
    rules: ['failed_logins_from_one_address'],
    steps: (stage) =>
      burst(40, 7 * SECOND_MS, (at) => {
        const target = from(stage.others[at % 5]!, '192.0.2.52', OUTSIDE_AGENTS[1]);
        const params = { user: target.name, authenticationMethod: 'BROWSER_BYO_IDP_SAML' };
        return act(stage, target, 'accounts.samlLogin', params, BAD_PASSWORD);
      }),
  },
  session_on_two_devices: {
    title: 'A session goes on at another address in another program',
    day: 3,
    hour: 10.2,
    rules: ['session_on_two_devices'],
    steps(stage) {
      const { victim, random } = stage;
      const stolen = {
        ...from(victim, OUTSIDE[3], OUTSIDE_AGENTS[1]),
        sessionId: victim.sessionId,
      };
      return burst(6, 5 * MINUTE_MS, (at) =>
        act(stage, at < 3 ? victim : stolen, 'workspace.workspaceExport', {
          workspaceExportFormat: 'SOURCE',
          notebookFullPath: `/Users/${victim.name}/nb-${random.int(40)}`,
        }),
      );
    },
  },
  token_refused_everywhere: {
    title: 'A revoked token tried from five addresses',
    day: 5,
    hour: 22.4,
    rules: ['access_token_refused_at_many_addresses'],
    steps: (stage) =>
      burst(10, 3 * MINUTE_MS, (at) => {
        const thief = from(stage.victim, `192.0.2.${80 + (at % 5)}`, OUTSIDE_AGENTS[0]);
        const { name: user, tokenId } = thief;
        const params = { user, authenticationMethod: 'API_EXT_PAT_TOKEN', tokenId };
        return act(stage, thief, 'accounts.tokenLogin', params, failure(401, 'Token revoked'));
      }),
  },
  denied_users_of_one_address: {
    title: 'Nine people refused at the access list from one address',
    day: 2,
    hour: 5.3,
    rules: ['many_users_denied_from_one_address'],
    steps: (stage) =>
      burst(9, 2 * MINUTE_MS, (at) => {
        const target = from(stage.others[at + 3]!, '192.0.2.90', OUTSIDE_AGENTS[0]);
        const params = { path: '/api/2.0/clusters/list', user: target.name };
        return act(stage, target, 'accounts.IpAccessDenied', params, failure(403, 'Denied'));
      }),
  },
  secrets_without_listing: {
    title: 'Twenty secrets read by name, none listed before',
    day: 0,
    hour: 13.2,
    rules: ['many_secrets_read'],
    steps: (stage) =>
      burst(20, 20 * SECOND_MS, (at) =>
        act(stage, stage.insider, 'secrets.getSecret', { scope: 'etl', key: `guess-${at}` }),
      ),
  },
};

/** Made at the office, used by whoever `user` is at the moment. */
function newSecret(stage: Stage, machine: Machine, user: Principal): Step[] {
  const { insider, random } = stage;
  const made = {
    service_principal: machine.name,
    servicePrincipalId: machine.userId,
    targetServicePrincipalName: machine.name,
    secret_id: random.uuid(),
  };
  const used = { user: machine.name, client_id: machine.name };
  return [
    {
      afterMs: 0,
      action: act(stage, insider, 'servicePrincipalCredentials.create', made, ACCOUNT),
    },
    ...burst(
      5,
      30 * SECOND_MS,
      () => act(stage, user, 'accounts.mintOAuthToken', used),
      12 * MINUTE_MS,
    ),
  ];
}
