/**
 * What public detections for Databricks audit logs look for, and which shipped rules look for it:
 * one line for each detection of four public collections, and for each gap that none of them
 * covers. Facts only; names are those under which the detections are published.
 *
 * A line is `name | behaviour | rules | what is done otherwise | rule: test that shows it; …`, the
 * last two only where the public detection is known to miss or misjudge something. Rules are named
 * by their files.
 */
export interface Covered {
  collection: string;
  /** As published. */
  reference: string;
  behaviour: string;
  rules: readonly string[];
  /** What the public detection gets wrong and these do not; null where nothing is known. */
  mended: string | null;
  /** Tests inside the rules that would fail with the defect. */
  shown: ReadonlyArray<{ rule: string; test: string }>;
}

/** Panther's rules for Databricks, those it shipped and five that it dropped before. */
const PANTHER = `
AccessToMultipleWorkspaces | one identity at work in five workspaces within a day | many_workspaces_accessed | the account is no workspace | many_workspaces_accessed: the account is no workspace
AccessTokenRevoked | a token is revoked, one or many | personal_access_token_revoked access_tokens_revoked_in_bulk
AccountAdminPrivilegedRoleAssignment | somebody becomes administrator of the account | account_admin_granted admin_group_member_added member_of_nested_admin_group_added | groups are a list of the operator's, levels of the audit log decide nothing, and nesting is followed | admin_group_member_added: several join, in snake case; member_of_nested_admin_group_added: a user joins the nested group a week later
AttemptedLogonFromDeniedIP | an address that the access lists refuse | access_denied_by_ip_access_list access_denied_from_many_addresses | service principals are not left out, user agents excuse nothing | access_denied_by_ip_access_list: a service principal from outside; access_denied_by_ip_access_list: telemetry from outside
ConfigChangesAccountLevel | a setting of the account changes | account_setting_changed sso_configuration_changed | setSetting, which carries them, is read | account_setting_changed: an account setting is changed; account_setting_changed: the older name
ConfigChangesHighPriority | access lists and settings that guard others | ip_access_list_changed ip_access_list_deleted ip_access_lists_disabled support_access_window_changed verbose_audit_logging_disabled
ConfigChangesWorkspaceLevel | a setting of a workspace changes | workspace_setting_changed account_setting_changed
DataDownloadsFromControlPlane | more than twenty downloads in an hour | bulk_download bulk_notebook_export | source exports count, and the window slides | bulk_download: source of others' notebooks; bulk_download: a mixture of kinds, over the full hour
DataMovementExplicitCredentials | a way to storage with credentials of one's own | storage_credential_changed external_location_changed storage_credential_then_bulk_access
DeltaSharingIPAccessFailures | a recipient at an address that is not allowed | share_access_denied_by_network | the flag of the event and the words of its message both count | share_access_denied_by_network: the event says so; share_access_denied_by_network: the message says so
DeltaSharingRecipientWithoutIPACLs | a recipient that may read from anywhere | share_recipient_without_ip_access_list | both spellings of the key | share_recipient_without_ip_access_list: an empty list, in camel case; share_recipient_without_ip_access_list: a list in camel case
DestructiveActivities | fifty deletions by one person within a day | mass_deletion service_principal_deletions_unusual catalog_or_metastore_deleted recovery_destroyed
EmployeeLogon | staff of Databricks sign in | databricks_personnel_access
GlobalInitScriptChanges | a script that runs on every cluster changes | global_init_script_changed
GroupCreated | a group is made | group_created admin_group_created
GroupDeleted | a group is deleted | group_deleted admin_group_deleted
InstallLibraryAllClusters | a library on every cluster | library_installed_on_all_clusters
LongLifetimeTokenGenerated | a token that lives for more than three days | long_lived_personal_access_token personal_access_token_without_expiry | tokens without any end are found | personal_access_token_without_expiry: no expiration time; personal_access_token_without_expiry: expiration -1
MetastoreAdminPrivilegeGranted | a new owner of the metastore, or member of its administrators | metastore_owner_changed metastore_admin_group_member_added
MFAKeyChange | a second factor is added or removed | mfa_key_added mfa_key_removed
MountPointCreation | storage is mounted | storage_mounted
NonSSOLogin | a sign-in past the single sign-on | login_without_sso | a sign-in without a method counts | login_without_sso: the method is not told
PotentialPrivilegeEscalation | twenty-five changes of rights within an hour | permission_changes_in_bulk table_administration_unusual self_granted_membership unity_catalog_self_grant
PrincipalRemovedFromGroup | somebody is taken out of a group | principal_removed_from_group admin_group_member_removed
RepeatedAccessToSecrets | many secrets are read | many_secrets_read secret_reading_spike | distinct keys count, not calls | many_secrets_read: one key a hundred times
RepeatedFailedLoginAttempts | five failed sign-ins of one user within an hour | failed_logins_of_one_user access_token_refused_repeatedly | the window slides, and the user may be in the parameters only | failed_logins_of_one_user: over the full hour; failed_logins_of_one_user: the user is only in the parameters
RepeatedUnauthorizedUCDataRequests | requests for data refused again and again | denied_data_credentials
RepeatedUnauthorizedUCRequests | catalog requests refused again and again | denied_catalog_requests | the window slides | denied_catalog_requests: of both codes and two actions, over the full hour
SSOConfigChanged | the single sign-on is changed | sso_configuration_changed
TermsOfServiceChanges | terms are sent or accepted | terms_of_service_changed
TrufflehogScanDetected | a scanner tries credentials that it found | secret_scanner_user_agent secret_scanner_inside_the_company
UserAccountCreated | an identity is made | user_created user_created_by_hand | the action that is logged, add, is read | user_created: by the directory; user_created_by_hand: a user
UserAccountDeleted | an identity is deleted | user_deleted identities_deleted_in_bulk
UserPasswordChanged | a password is changed | password_changed password_changed_by_another
UserRoleModified | a role is given or taken | role_assignment_changed workspace_admin_granted | role and permission assignments and rule sets, in place of action names that nothing logs | workspace_admin_granted: a user becomes administrator
VerboseAuditLoggingDisabled | command texts are not logged any more | verbose_audit_logging_disabled verbose_audit_logging_not_restored
WorkspaceAdminPrivilegedRoleAssignment | somebody becomes administrator of a workspace | workspace_admin_granted admin_group_member_added new_user_then_admin | as for the account | admin_group_member_added: the group under another key
SessionHijackingFrequentLogins | many addresses and programs in an hour, more than usual | logins_from_many_addresses_and_agents | the newest days are left out of the history | logins_from_many_addresses_and_agents: a user who comes from four addresses every day
SessionHijackingMultiDevice | one session on two devices | session_on_two_devices
SessionHijackingSessionCount | one session at many addresses | session_from_many_addresses
SpikeInTableAdminActivity | more administration of tables than usual | table_administration_unusual
TokenScanningActivity | one token tried from many addresses | access_token_from_many_addresses access_token_refused_at_many_addresses access_token_from_many_networks
`;

/** Databricks' own detection notebooks for a workspace, and their port for Genie. */
const DATABRICKS = `
account_admin_privileged_role_assignment | somebody becomes administrator of the account | account_admin_granted admin_group_member_added member_of_nested_admin_group_added
attempted_logon_from_denied_ip | an address that the access lists refuse | access_denied_by_ip_access_list
configuration_changes_account_level | a setting of the account changes | account_setting_changed
configuration_changes_high_priority | access lists, verbose logs, support access | ip_access_list_changed ip_access_list_deleted verbose_audit_logging_disabled support_access_window_changed
configuration_changes_workspace_level | a setting of a workspace changes | workspace_setting_changed
databricks_employee_logon | staff of Databricks sign in | databricks_personnel_access
group_deleted | a group is deleted | group_deleted admin_group_deleted
metastore_admin_privilege_granted | a new owner of the metastore, or member of its administrators | metastore_owner_changed metastore_admin_group_member_added
principal_removed_from_group | somebody is taken out of a group | principal_removed_from_group
sso_config_changed | the single sign-on is changed | sso_configuration_changed
trufflehog_scan_detected | a scanner tries credentials that it found | secret_scanner_user_agent secret_scanner_inside_the_company
user_account_deleted | an identity is deleted | user_deleted
user_admin_account_change | administrators come and go | workspace_admin_granted account_admin_granted administrator_removed admin_group_member_added admin_group_member_removed administrator_for_a_short_time
user_role_modified | a role is given or taken | role_assignment_changed
verbose_audit_logging_disabled | command texts are not logged for a while | verbose_audit_logging_disabled verbose_audit_logging_gap
workspace_admin_privileged_role_assignment | somebody becomes administrator of a workspace | workspace_admin_granted admin_group_member_added member_of_nested_admin_group_added
access_token_created | a token is made | personal_access_token_created personal_access_token_without_expiry | a token without an end counts | personal_access_token_without_expiry: expiration 0
access_token_deleted | a token is revoked | personal_access_token_revoked
group_created | a group is made | group_created
mfa_key_added | a second factor is added | mfa_key_added
mfa_key_deleted | a second factor is removed | mfa_key_removed
non_sso_login_detected | a sign-in past the single sign-on | login_without_sso | a missing method is not the single sign-on | login_without_sso: the method is not told
potential_data_movement_explicit_creds | mounts, credentials and connections | storage_mounted storage_credential_changed
potential_data_movement_sql_queries | data copied with credentials in the statement | query_with_explicit_credentials
potential_data_movement_workspace_downloads | downloads from the workspace | bulk_download workspace_archive_exported | source of others' notebooks counts | bulk_download: source of others' notebooks
principal_added_to_group | somebody joins a group | principal_added_to_group | the plural action is read too | principal_added_to_group: several are added
secret_scanning_activity | secrets listed and many read | secret_enumeration | the list and the reads are counted apart and brought together | secret_enumeration: scopes are listed, then fifteen secrets read
session_hijacking_frequent_logins | many sign-ins within minutes | logins_from_many_addresses_and_agents
session_hijacking_multi_device | one session on two devices | session_on_two_devices
session_hijacking_session_count | one session at many addresses | session_from_many_addresses many_users_from_one_address | addresses are counted for the session, not for each address | session_from_many_addresses: three addresses within a day; session_from_many_addresses: three sessions
spike_in_table_admin_activity | more statements about rights than usual | table_administration_unusual
token_scanning_activity | one token from many addresses | access_token_from_many_addresses | a number of addresses that can be reached, ports left out | access_token_from_many_addresses: three addresses on a day
user_account_created | an identity is made by hand | user_created_by_hand
user_password_changed | a password is changed | password_changed password_changed_by_another
bulk_notebook_export | far more notebooks exported than usual | bulk_notebook_export
encoded_command_execution | commands and queries that decode what they run | encoded_command encoded_text_in_query
ip_acl_validation_failures | the account's access list refuses an address | access_denied_by_ip_access_list access_denied_from_many_addresses many_users_denied_from_one_address
investigation_triage | many kinds of sensitive actions by one actor | many_sensitive_actions
`;

/** andyweaves/system-tables-audit-logs. */
const SYSTEM_TABLES = `
repeated_failed_login_attempts | failed sign-ins of one user | failed_logins_of_one_user failed_logins_then_success | the window slides over the full hour | failed_logins_of_one_user: over the full hour
changes_to_admin_users | administrators come and go | account_admin_granted workspace_admin_granted administrator_removed admin_group_member_added admin_group_member_removed | several at once are seen | admin_group_member_added: several join, in snake case
changes_to_workspace_configuration | a setting of a workspace changes | workspace_setting_changed
data_downloads_from_control_plane | more than twenty downloads in an hour | bulk_download | the window slides, and source of others' notebooks counts | bulk_download: a mixture of kinds, over the full hour; bulk_download: source of others' notebooks
ip_access_list_failures | an access list of account or workspace refuses | access_denied_by_ip_access_list
ip_access_list_changes | access lists change | ip_access_list_changed ip_access_list_deleted
databricks_access_to_customer_workspaces | staff of Databricks get access | databricks_personnel_access
terms_of_service_changes | terms are sent or accepted | terms_of_service_changed
account_settings_changes | a setting of the account changes | account_setting_changed
global_init_script_changes | a script that runs on every cluster changes | global_init_script_changed
install_library_on_all_clusters | a library on every cluster | library_installed_on_all_clusters
mount_point_creation | storage is mounted | storage_mounted
long_lifetime_token_generation | a token that lives for more than three days | long_lived_personal_access_token personal_access_token_without_expiry | tokens without any end are found | personal_access_token_without_expiry: no expiration time
destructive_activities | fifty deletions by one person within a day | mass_deletion | what is brought back is no deletion | mass_deletion: things are brought back
potential_privilege_escalation | more than twenty-five changes of rights within an hour | permission_changes_in_bulk
repeated_access_to_secrets | ten secrets within an hour | many_secrets_read
access_to_multiple_workspaces | one identity in five workspaces a day | many_workspaces_accessed
use_of_print_statements | secrets printed by commands | secret_printed_in_command
repeated_unauthorized_uc_requests | catalog requests refused again and again | denied_catalog_requests
repeated_unauthorized_uc_data_requests | requests for data refused again and again | denied_data_credentials
high_number_of_read_writes | many places read and many written in an hour | bulk_reads_and_writes service_principal_writes_unusual | volumes and paths count as well | bulk_reads_and_writes: tables read and paths written
delta_sharing_recipients_without_ip_acls | a recipient that may read from anywhere | share_recipient_without_ip_access_list | both spellings of the key | share_recipient_without_ip_access_list: an empty list, in camel case
delta_sharing_ip_access_list_failures | a recipient at an address that is not allowed | share_access_denied_by_network
delta_sharing_recipient_token_lifetime_change | tokens of recipients live longer | share_recipient_token_lifetime_changed
clam_av_infected_files_detected | the scan counts infected files | malware_found
clam_av_infected_files_found | the scan names an infected file | malware_found
capsule8_container_breakout_events | a way out of a container | container_escape suspicious_host_activity
capsule8_changes_to_host_security_settings | guards of the host are weakened | host_security_weakened
capsule8_kernel_related_events | programs in the kernel | host_security_weakened
capsule8_suspicious_host_activity | shells and traces on a host | suspicious_host_activity container_escape
`;

/** Older and smaller collections, each named before the slash. */
const OTHERS = `
audit-logs-2023/account-admins | administrators of the account come and go | account_admin_granted administrator_removed
audit-logs-2023/failed-logins | failed sign-ins and refused tokens | failed_logins_of_one_user access_token_refused_repeatedly
audit-logs-2023/production-infrastructure | workspaces, networks, storage and keys of production | infrastructure_changed customer_managed_key_changed
audit-logs-2023/denied-catalog | catalog requests refused | denied_catalog_requests
audit-logs-2023/sharing-by-country | shares read from another country | share_read_from_new_country
audit-logs-2023/recipient-networks | recipients without or beyond the approved networks | share_recipient_without_ip_access_list share_recipient_ip_access_list_changed
audit-logs-2023/access-lists | access lists of clusters, policies, warehouses and jobs | object_permission_changed cluster_policy_changed
audit-logs-2023/instance-profiles | who may use a cloud role | instance_profile_permission_changed
audit-logs-2023/secret-acls | who may read a secret scope | secret_scope_acl_changed
audit-logs-2023/token-login-then-token | a token that is made and used | access_token_created_then_used_elsewhere personal_access_token_created
audit-logs-2023/dbfs-writes | files written to DBFS | dbfs_written init_script_written_to_dbfs
audit-logs-2023/print-and-display | values shown by commands | secret_printed_in_command
audit-logs-2023/text-hunt | a given text in commands | hunted_text_used
anhhchu/failed-login | failures by user and by address, with how many of the other | failed_logins_of_one_user password_spray failed_logins_from_one_address password_spray_succeeded
anhhchu/admins | new administrators and members of their groups | account_admin_granted workspace_admin_granted admin_group_member_added metastore_admin_group_member_added
anhhchu/workspace-acl | entitlements of the workspace and of SQL | object_permission_changed
anhhchu/sensitive-grant | ownership or full control of sensitive data | unity_catalog_full_control_granted securable_owner_changed sensitive_data_self_grant
anhhchu/settings | settings made and deleted | account_setting_changed
anhhchu/exports | query results, files, notebooks and dashboards taken out | bulk_download dashboard_snapshots_many files_downloaded_unusual
health-monitor/sensitive-spike | sensitive tables read more than usual | sensitive_tables_read_unusual
health-monitor/failed-logins | failed sign-ins within minutes | failed_logins_from_one_address failed_logins_of_one_user
health-monitor/user-spike | a user far busier than usual | user_activity_spike
health-monitor/after-hours | work of administrators at night | privileged_action_off_hours
health-monitor/new-address | a sign-in from a new network | login_from_new_network service_principal_from_new_network
health-monitor/secrets-an-hour | many secrets read | many_secrets_read secret_reading_spike
dbt-app/acl-bands | changes of rights by number | permission_changes_in_bulk
dbt-app/token-permission | who may use tokens | token_or_password_permission_changed
dbt-app/cluster-policies | cluster policies change | cluster_policy_changed
dbt-app/rule-sets | roles and assignments in the account | role_assignment_changed
dbt-app/acl-switches | access control switched off | access_control_disabled
lakewatch/admins | a new member of the administrators | admin_group_member_added
sumo-logic/first-seen-country | a sign-in from a country new to the user | login_from_new_country login_from_new_country_with_new_agent
sumo-logic/impossible-travel | sign-ins too far apart | impossible_travel
sumo-logic/error-spike | a burst of failing requests | failed_requests_burst
`;

/** What none of those collections looks for. */
const GAPS = `
delivery-changed | the delivery of audit logs is changed | log_delivery_changed
audit-silence | a workspace sends no events any more | audit_events_stopped
text-too-long | a command padded until its text is cut | command_text_truncated
bucket-protection | Object Lock or a bucket policy changed from a notebook | bucket_protection_changed_by_command
recovery | history of tables destroyed by command | recovery_destroyed
service-principal-key | a key of a service principal is made and used for the first time | service_principal_secret_created service_principal_secret_used_from_new_address service_principal_secret_used_by_its_creator
service-principal-identity | a service principal where none belongs, or trusted through another issuer | service_principal_in_a_browser service_principal_acl_changed federation_policy_changed oauth_app_changed
genie | data asked out of Genie | genie_results_unusual
vector-search | an index read out | vector_index_scanned vector_queries_unusual
delta-sharing | a share or recipient made, granted and read | share_created_granted_and_queried share_recipient_created_then_queried
clean-rooms | a clean room opened to others | clean_room_changed
marketplace | data offered to everybody | marketplace_listing_published
customer-managed-keys | keys exchanged or taken away | customer_managed_key_changed
system-tables | the audit tables read or granted | system_tables_first_read system_catalog_granted
storage-credentials | a new way to storage, then many tables | storage_credential_then_bulk_access
grant-download-revoke | a right given, used and taken back | grant_download_revoke permission_granted_used_and_revoked permission_granted_then_revoked
`;

/** Shipped rules that no public collection and no gap above asks for. */
export const EXTRA: Readonly<Record<string, string>> = {
  break_glass_account_used: 'Accounts for emergencies are used in emergencies only.',
  cluster_creation_unusual: 'Compute taken for somebody else’s purposes.',
  cluster_init_script_first_used: 'A script that runs as root on one cluster instead of all.',
  data_policy_removed: 'Row filters and masks taken off before the data is read.',
  deactivated_user_reactivated: 'A way back in for somebody who has left.',
  first_administrative_action: 'Administrators who were made before the audit log begins.',
  git_credential_changed: 'Code goes out, or comes in, under another account.',
  job_run_as_changed: 'A job that runs in the rights of somebody else.',
  login_of_new_or_dormant_identity: 'Forgotten accounts, and those nobody knows.',
  login_with_new_agent: 'The half of a stolen session that needs no GeoIP file.',
  model_serving_endpoint_changed: 'A way out of the platform that is called from outside.',
  notification_destination_changed: 'Results sent to an address outside the company.',
  repository_from_unknown_host: 'Code from a place that nobody approved.',
  serverless_network_policy_changed: 'Egress opened before data leaves.',
  watched_address_used: 'Addresses of an incident, from a list of the operator’s.',
  web_terminal_opened: 'A shell whose commands no audit log has.',
};

const COLLECTIONS: Readonly<Record<string, string>> = {
  panther: PANTHER,
  'databricks workspace detections': DATABRICKS,
  'system tables audit logs': SYSTEM_TABLES,
  'smaller collections': OTHERS,
  gaps: GAPS,
};

export const COVERED: readonly Covered[] = Object.entries(COLLECTIONS).flatMap(
  ([collection, lines]) =>
    lines
      .trim()
      .split('\n')
      .map((line) => coveredOf(collection, line)),
);

function coveredOf(collection: string, line: string): Covered {
  const [reference = '', behaviour = '', rules = '', mended = null, shown = ''] = line.split(' | ');
  return {
    collection,
    reference,
    behaviour,
    rules: rules.split(' ').filter((rule) => rule !== ''),
    mended,
    shown: shown
      .split('; ')
      .filter((one) => one !== '')
      .map((one) => {
        const at = one.indexOf(': ');
        return { rule: one.slice(0, at), test: one.slice(at + 2) };
      }),
  };
}
