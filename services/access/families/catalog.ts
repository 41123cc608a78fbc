/**
 * Unity Catalog: privileges, owners, Delta shares and their recipients, storage. Parameters as the
 * audit log reference names them; `changes` and `updates` are JSON text. Pure.
 */
import type { AuditEvent } from '../../ingest/event.ts';
import type { Effect } from '../change.ts';
import {
  accountScope,
  effect,
  type Family,
  isRecord,
  jsonOf,
  metastoreScope,
  NotUnderstood,
  needed,
  param,
  privilegeName,
  type Reader,
  rowsOf,
  subjectName,
  textIn,
  textsIn,
} from '../fields.ts';

// --- privileges ----------------------------------------------------------------------------------

const updatePermissions: Reader = (event) => {
  const type = needed(event, 'securable_type').toUpperCase();
  const name = needed(event, 'securable_full_name', 'full_name_arg', 'name_arg');
  return privilegeChanges(event, `${type} ${name}`);
};

const updateSharePermissions: Reader = (event) =>
  privilegeChanges(event, `SHARE ${needed(event, 'name', 'name_arg', 'share')}`);

function privilegeChanges(event: AuditEvent, object: string): Effect[] {
  const scope = metastoreScope(event);
  const effects = rowsOf(event, 'changes').flatMap((row) => {
    const subject = subjectName(textIn(row, 'a change', 'principal', 'principal_id'));
    const one = (op: 'give' | 'take') => (privilege: string) =>
      effect(op, {
        kind: 'grant',
        subject,
        privilege: privilegeName(privilege),
        object,
        scope,
      });
    return [
      ...textsIn(row, 'a change', 'remove').map(one('take')),
      ...textsIn(row, 'a change', 'add').map(one('give')),
    ];
  });
  if (effects.length === 0) throw new NotUnderstood('changes name no privilege');
  return effects;
}

// --- owners --------------------------------------------------------------------------------------

function objectName(event: AuditEvent, type: string): string {
  const full = param(event, 'full_name_arg', 'name_arg', 'full_name', 'securable_full_name');
  if (full !== undefined) return `${type} ${full}`;
  const name = needed(event, 'name', 'id', 'metastore_id');
  const path = [param(event, 'catalog_name'), param(event, 'schema_name'), name];
  return `${type} ${path.filter((part) => part !== undefined).join('.')}`;
}

function owned(object: string, owner: string, scope: string): Effect {
  const named = { kind: 'owner', subject: subjectName(owner), privilege: 'OWNER', object } as const;
  return effect('give', { ...named, scope }, { replaces: 'object' });
}

/** The owner, where the update names one. */
function ownerOf(event: AuditEvent, object: string): Effect[] {
  const owner = param(event, 'owner');
  return owner === undefined ? [] : [owned(object, owner, metastoreScope(event))];
}

/** An update of what is in it is no change of access; one of its owner is. */
const updateOf =
  (type: string): Reader =>
  (event) =>
    param(event, 'owner') === undefined ? [] : ownerOf(event, objectName(event, type));

const changeSecurableOwner: Reader = (event) => {
  const type = needed(event, 'securable_type').toUpperCase();
  const owner = needed(event, 'owner', 'new_owner');
  return [owned(objectName(event, type), owner, metastoreScope(event))];
};

const updateMetastore: Reader = (event) => {
  const object = objectName(event, 'METASTORE');
  const scope = metastoreScope(event);
  const settings = METASTORE_SETTINGS.flatMap((key) => {
    const value = param(event, key);
    if (value === undefined) return [];
    const named = { kind: 'setting', privilege: value, object: key, scope } as const;
    return [effect('give', { ...named, sense: 'either' }, { replaces: 'object' })];
  });
  return [...ownerOf(event, object), ...settings];
};

const METASTORE_SETTINGS = [
  'delta_sharing_scope',
  'delta_sharing_recipient_token_lifetime_in_seconds',
];

// --- shares and recipients -----------------------------------------------------------------------

const shareOf = (event: AuditEvent): string => needed(event, 'name', 'name_arg', 'share');

const createShare: Reader = (event) => {
  const object = `SHARE ${shareOf(event)}`;
  const scope = metastoreScope(event);
  return [
    effect('give', { kind: 'share', privilege: 'EXISTS', object, scope }),
    ...ownerOf(event, object),
  ];
};

const updateShare: Reader = (event) => {
  const share = `SHARE ${shareOf(event)}`;
  const key = param(event, 'updates') === undefined ? 'changes' : 'updates';
  const owner = ownerOf(event, share);
  if (param(event, key) === undefined) {
    if (owner.length > 0) return owner;
    const named = { kind: 'share', object: share, scope: metastoreScope(event) } as const;
    return [effect('touch', { ...named, privilege: 'UPDATED' })];
  }
  return [...owner, ...rowsOf(event, key).map((row) => sharedObject(event, share, row))];
};

function sharedObject(event: AuditEvent, share: string, row: Record<string, unknown>): Effect {
  const action = textIn(row, 'an update', 'action').toUpperCase();
  const data = row.data_object;
  if (!isRecord(data)) throw new NotUnderstood('an update without data_object');
  const name = textIn(data, 'a data_object', 'name');
  const type = typeof data.data_object_type === 'string' ? data.data_object_type : 'TABLE';
  const op = { ADD: 'give', REMOVE: 'take', UPDATE: 'touch' }[action];
  if (op === undefined) throw new NotUnderstood('an update that neither adds nor removes');
  return effect(op as 'give' | 'take' | 'touch', {
    kind: 'share',
    subject: share,
    privilege: 'SHARED',
    object: `${type.toUpperCase()} ${name}`,
    scope: metastoreScope(event),
  });
}

const deleteShare: Reader = (event) => {
  const scope = metastoreScope(event);
  const share = `SHARE ${shareOf(event)}`;
  return [
    effect('drop', { kind: 'share', object: share, scope }),
    effect('drop', { kind: 'share', subject: share, scope }),
  ];
};

const recipientOf = (event: AuditEvent): string =>
  needed(event, 'name', 'name_arg', 'recipient_name');

const createRecipient: Reader = (event) => {
  const subject = recipientOf(event);
  const scope = metastoreScope(event);
  const type = param(event, 'authentication_type') ?? 'TOKEN';
  const object = `RECIPIENT ${subject}`;
  return [
    effect('give', { kind: 'recipient', subject, privilege: privilegeName(type), object, scope }),
    ...networksOf(event, subject, scope),
    ...ownerOf(event, object),
  ];
};

const updateRecipient: Reader = (event) => {
  const subject = recipientOf(event);
  const scope = metastoreScope(event);
  const object = `RECIPIENT ${subject}`;
  const found = [...networksOf(event, subject, scope), ...ownerOf(event, object)];
  if (found.length > 0) return found;
  return [effect('touch', { kind: 'recipient', subject, privilege: 'UPDATED', object, scope })];
};

/** From where a recipient may come. No list, or an empty one, is from everywhere. */
function networksOf(event: AuditEvent, subject: string, scope: string): Effect[] {
  const key = ['ip_access_list', 'ipAccessList'].find((name) => param(event, name) !== undefined);
  if (key === undefined) return [];
  const value = jsonOf(event, key);
  const list = isRecord(value) ? textsIn(value, key, 'allowed_ip_addresses') : [];
  const named = { kind: 'network', subject, object: `RECIPIENT ${subject}`, scope } as const;
  const restricting = { ...named, sense: 'restricts' } as const;
  if (list.length === 0) return [effect('clear', restricting)];
  const privilege = `only from ${[...list].sort().join(', ')}`;
  // Another list may let in more or fewer: the event does not say what was before.
  const more = { replaces: 'subject', direction: 'changed' } as const;
  return [effect('give', { ...restricting, privilege }, more)];
}

const rotateRecipientToken: Reader = (event) => {
  const subject = recipientOf(event);
  const named = { kind: 'recipient', subject, object: `RECIPIENT ${subject}` } as const;
  return [effect('touch', { ...named, privilege: 'NEW_TOKEN', scope: metastoreScope(event) })];
};

const deleteRecipient: Reader = (event) => {
  const subject = recipientOf(event);
  const scope = metastoreScope(event);
  return [
    effect('drop', { kind: 'recipient', object: `RECIPIENT ${subject}`, scope }),
    effect('drop', { kind: 'recipient', subject, scope }),
  ];
};

// --- storage -------------------------------------------------------------------------------------

/** What it leads to: the address of a location, and the credential that it uses. */
function target(event: AuditEvent): string {
  const [url, credential] = [param(event, 'url'), param(event, 'credential_name')];
  const parts = [url ?? '', credential === undefined ? '' : `with ${credential}`];
  return parts.filter((part) => part !== '').join(' ') || 'EXISTS';
}

const createStorage =
  (type: string): Reader =>
  (event) => {
    const object = objectName(event, type);
    const scope = metastoreScope(event);
    const named = { kind: 'storage', privilege: target(event), object, scope } as const;
    return [effect('give', named, { replaces: 'object' }), ...ownerOf(event, object)];
  };

const updateStorage =
  (type: string): Reader =>
  (event) => {
    const object = objectName(event, type);
    const named = { kind: 'storage', object, scope: metastoreScope(event) } as const;
    const leads = target(event);
    const owner = ownerOf(event, object);
    if (leads !== 'EXISTS') {
      return [effect('give', { ...named, privilege: leads }, { replaces: 'object' }), ...owner];
    }
    // Which secret or role is behind it, is not in the event.
    return owner.length > 0 ? owner : [effect('touch', { ...named, privilege: 'UPDATED' })];
  };

const deleteStorage =
  (type: string): Reader =>
  (event) => [
    effect('drop', {
      kind: 'storage',
      object: objectName(event, type),
      scope: metastoreScope(event),
    }),
  ];

// --- workspaces and policies ---------------------------------------------------------------------

const metastoreAssignment =
  (op: 'give' | 'take'): Reader =>
  (event) => [
    effect(op, {
      kind: 'binding',
      subject: `workspace ${needed(event, 'workspace_id', 'input_workspace_id')}`,
      privilege: 'ASSIGNED',
      object: 'METASTORE',
      scope: metastoreScope(event),
    }),
  ];

const updateBindings: Reader = (event) => [
  effect('touch', {
    kind: 'binding',
    privilege: 'UPDATED',
    object: objectName(event, (param(event, 'securable_type') ?? 'CATALOG').toUpperCase()),
    scope: metastoreScope(event),
  }),
];

/** An attribute-based policy hides rows and masks columns. */
const policy =
  (op: 'give' | 'drop'): Reader =>
  (event) => [
    effect(
      op,
      {
        kind: 'grant',
        privilege: op === 'give' ? 'POLICY' : '',
        object: objectName(event, 'POLICY'),
        scope: metastoreScope(event),
        sense: 'restricts',
      },
      op === 'drop' ? { direction: 'widened' } : {},
    ),
  ];

/** A listing in the Marketplace shows a share to others than its recipients. */
const marketplace =
  (direction: Effect['direction']): Reader =>
  (event) => [
    effect(
      'touch',
      {
        kind: 'share',
        privilege: 'LISTED',
        object: `listing ${param(event, 'listing_id', 'listingId') ?? ''}`.trim(),
        scope: accountScope(event.accountId),
      },
      { direction },
    ),
  ];

function storageOf(type: string, name: string): Record<string, Reader> {
  return {
    [`create${name}`]: createStorage(type),
    [`update${name}`]: updateStorage(type),
    [`delete${name}`]: deleteStorage(type),
  };
}

export const CATALOG: Family = {
  unityCatalog: {
    updatePermissions,
    updateSharePermissions,
    changeSecurableOwner,
    updateMetastore,
    updateCatalog: updateOf('CATALOG'),
    updateSchema: updateOf('SCHEMA'),
    updateTable: updateOf('TABLE'),
    updateVolume: updateOf('VOLUME'),
    updateFunction: updateOf('FUNCTION'),
    updateRegisteredModel: updateOf('REGISTERED_MODEL'),
    createShare,
    updateShare,
    deleteShare,
    createRecipient,
    updateRecipient,
    rotateRecipientToken,
    deleteRecipient,
    ...storageOf('STORAGE_CREDENTIAL', 'StorageCredential'),
    ...storageOf('EXTERNAL_LOCATION', 'ExternalLocation'),
    ...storageOf('CONNECTION', 'Connection'),
    ...storageOf('CREDENTIAL', 'Credential'),
    createMetastoreAssignment: metastoreAssignment('give'),
    updateMetastoreAssignment: metastoreAssignment('give'),
    deleteMetastoreAssignment: metastoreAssignment('take'),
    UpdateWorkspaceBindings: updateBindings,
    createPolicy: policy('give'),
    deletePolicy: policy('drop'),
  },
  marketplaceProvider: {
    createShareMarketplaceListingLink: marketplace('widened'),
    deleteShareMarketplaceListingLink: marketplace('narrowed'),
  },
};
