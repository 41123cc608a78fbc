/** Attacks on identities and credentials that several events give away together. */
import {
  ACCOUNT,
  act,
  burst,
  failure,
  from,
  HOUR_MS,
  MINUTE_MS,
  OUTSIDE,
  OUTSIDE_AGENTS,
  type Scheme,
  SECOND_MS,
} from './stage.ts';

const BAD_PASSWORD = failure(401, 'Invalid credentials');

export const ACCESS_PLOTS: Record<string, Scheme> = {
  brute_force: {
    title: 'One account, fourteen passwords',
    day: 1,
    hour: 2.2,
    rules: ['failed_logins'],
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
    title: 'Seven failed logins, then one that succeeds',
    day: 3,
    hour: 1.4,
    rules: ['failed_logins_then_success'],
    steps(stage) {
      const intruder = from(stage.victim, OUTSIDE[3], OUTSIDE_AGENTS[0]);
      const params = { user: intruder.name, authenticationMethod: 'PASSWORD' };
      return burst(8, 45 * SECOND_MS, (at) =>
        act(stage, intruder, 'accounts.login', params, at < 7 ? BAD_PASSWORD : {}),
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
    rules: ['login_from_new_country'],
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
    rules: ['login_from_many_addresses'],
    steps: (stage) =>
      burst(18, 3 * MINUTE_MS, (at) => {
        const address = `192.0.2.${200 + (at % 6)}`;
        const intruder = from(stage.victim, address, OUTSIDE_AGENTS[at % 3]!);
        const params = { user: intruder.name, authenticationMethod: 'BROWSER_BYO_IDP_SAML' };
        return act(stage, intruder, 'accounts.samlLogin', params);
      }),
  },
  many_users_one_address: {
    title: 'One foreign address uses fourteen accounts',
    day: 5,
    hour: 4.2,
    rules: ['many_users_from_one_address'],
    steps: (stage) =>
      burst(14, 3 * MINUTE_MS, (at) => {
        const target = from(
          stage.others[40 + at] ?? stage.others[at]!,
          '192.0.2.31',
          OUTSIDE_AGENTS[2],
        );
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
  long_lifetime_token: {
    title: 'Personal access token valid for ten years',
    day: 0,
    hour: 14.4,
    rules: ['personal_access_token_long_lived'],
    steps: (stage) => [
      {
        afterMs: 0,
        action: act(stage, stage.insider, 'accounts.generateDbToken', {
          userId: stage.insider.userId,
          tokenHash: stage.random.hex(64),
          tokenExpirationTime: stage.startMs + 3_652 * 24 * HOUR_MS,
        }),
      },
    ],
  },
  token_from_many_addresses: {
    title: 'One token used from four networks',
    day: 4,
    hour: 11.2,
    rules: ['token_from_many_addresses'],
    steps: (stage) =>
      burst(24, 5 * MINUTE_MS, (at) => {
        const thief = from(stage.victim, OUTSIDE[at % 4]!, OUTSIDE_AGENTS[0]);
        const { name: user, tokenId } = thief;
        const params = { user, authenticationMethod: 'API_EXT_PAT_TOKEN', tokenId };
        return act(stage, thief, 'accounts.tokenLogin', params);
      }),
  },
  token_used_elsewhere: {
    title: 'A token made at the office and used abroad at once',
    day: 1,
    hour: 15.2,
    rules: ['new_token_used_elsewhere'],
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
    rules: ['token_revocation_burst'],
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
    title: 'A new secret of a service principal, used from outside within the hour',
    day: 4,
    hour: 8.4,
    rules: ['service_principal_secret_then_use'],
    steps(stage) {
      const { insider, random, company } = stage;
      const machine = company.machines.find(({ duty }) => duty === 'etl')!;
      const far = from(machine, OUTSIDE[0], OUTSIDE_AGENTS[2]);
      const made = {
        service_principal: machine.name,
        servicePrincipalId: machine.userId,
        targetServicePrincipalName: machine.name,
        secret_id: random.uuid(),
      };
      const used = { user: machine.name, client_id: machine.name };
      const pair = 'servicePrincipalCredentials.create';
      return [
        { afterMs: 0, action: act(stage, insider, pair, made, ACCOUNT) },
        ...burst(
          5,
          30 * SECOND_MS,
          () => act(stage, far, 'accounts.mintOAuthToken', used),
          12 * MINUTE_MS,
        ),
      ];
    },
  },
};
