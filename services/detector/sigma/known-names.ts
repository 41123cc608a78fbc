/**
 * Names that audit events are known to carry, so that a rule with a mistyped one is told: it would
 * load, look alive and find nothing. Facts from public documentation and captures of real events;
 * Databricks adds services and actions, so that a name which is not here is a doubt and no error.
 */
import { nearest } from '../../runtime/nearest.ts';

const SERVICES = `
  accountBillableUsage accounts accountsAccessControl accountsManager aibiGenie alerts apps
  BrickStoreHttpGateway budgetPolicyCentral capsule8-alerts-dataplane clamAVScanService-dataplane
  clean-room cloudStorageMetadata clusterLibraries clusterPolicies clusters dashboards
  databaseInstances databrickssql dataMonitoring dataRooms dbfs deltaPipelines deltaSharingAccess
  featureStore files filesystem genie gitCredentials globalInitScripts groups iamRole ingestion
  instancePools jobs lakeviewConfig lineageTracking logDelivery marketplaceConsumer
  marketplaceProvider mlflowAcledArtifact mlflowExperiment modelRegistry notebook oauth2
  onlineTables partnerHub partnerhub predictiveOptimization RBAC RemoteHistoryService repos RFA
  secrets serverlessRealTimeInference servicePrincipalCredentials sqlanalytics sqlPermissions ssh
  ssoConfigBackend syslog unityCatalog vectorSearch webhookNotifications webTerminal workspace
  workspaceFiles
`;

const ACTIONS = `
  aadBrowserLogin aadTokenLogin acceptTos accountInHouseOAuthClientAuthentication
  accountIpAclsValidationFailed accountLoginCodeAuthentication accountUserResetPassword
  activateUser add addAdmin addBlock addConsumer addDataSources addPermissionAssignment
  addPrincipalsToGroup addPrincipalToGroup addProducer addUserGitHubCredentials addX509
  apiCreateAlert apiGetAlert apiTrashAlert apiUpdateAlert approveTransitionRequest attachNotebook
  automaticClusterUpdate batch-reorder cancel cancelAllRuns cancelQuery cancelQueryExecution
  CancelRefresh certLogin changeAccountOwner changeAppsAcl changeClusterAcl changeClusterPolicyAcl
  changeDatabaseInstanceAcl changeDatabricksDirectoryAcl changeDatabricksSqlAcl
  changeDatabricksWorkspaceAcl changeDbTokenAcl changeDbTokenState changeEndpointAcl
  changeEndpointAcls changeFeatureTableAcl changeIamRoleAcl changeIamRoleAssumeAcl
  changeInferenceEndpointAcl changeInstancePoolAcl changeJobAcl changePassword changePasswordAcl
  changePermissions changePipelineAcls changeRegisteredModelAcl changeSecurableOwner
  changeServicePrincipalAcls changeWarehouseAcls changeWorkspaceAcl checkoutBranch checkPathAccess
  clamAVScanAction cloneAlert cloneDashboard cloneFolderNode cloneNotebook cloneSpace close
  closeSession commandFinish commandSubmit commitAndPush config consolidateAccounts create
  createAlert createApp createBudgetPolicy createCatalog createCleanRoom createCleanRoomAsset
  createCleanRoomAssetReview createCleanRoomAutoApprovalRule createCleanRoomOutputCatalog
  createComment createConnection createConstraint createConversation createConversationMessage
  createConversationMessageComment createCredential createCredentialsConfiguration
  createCuratedQuestion createCustomAppIntegration createCustomerManagedKeyConfiguration
  createDashboard createDatabaseCatalog createDatabaseInstance createDatabaseTable createEndpoint
  createEvaluationResult createEvaluationRun createExternalLocation createFeatures
  createFeatureSpec createFeatureTable createFederationPolicy createFile createFolder
  createFunction createGitCredential createGroup createInstruction createIpAccessList
  createListing createLogDeliveryConfiguration createMetastore createMetastoreAssignment
  createMlflowExperiment createModelVersion CreateMonitor createNamespace
  createNetworkConfiguration createNetworkConnectivityConfig createNetworkPolicy createNotebook
  createOrReusePartnerConnection createPipeline createPolicy createPrivateAccessSettings
  createProvider createProviderProfile createPublishedAppIntegration createQuery createQueryDraft
  createQuerySnippet createRecipient createRegisteredModel createRegistryWebhook createRepo
  createResult createSchedule createSchema createScope createSecurable createServicePrincipal
  createServingEndpoint createShare createShareMarketplaceListingLink createSpace
  createStagingTable createStorageConfiguration createStorageCredential createSubscription
  createSyncedDatabaseTable createTable createTransitionRequest createVectorIndex
  createVisualization createVolume createVpcEndpoint createWarehouse createWebhook
  createWorkspaceConfiguration databricksAccess deactivateUser delete deleteAcl deleteAlert
  deleteApp deleteBudgetPolicy deleteCatalog deleteCleanRoom deleteCleanRoomAsset
  deleteCleanRoomAutoApprovalRule deleteComment deleteConnection deleteConstraint
  deleteConversation deleteConversationMessage deleteConversationMessageComment deleteCredential
  deleteCredentialsConfiguration deleteCuratedQuestion deleteCustomAppIntegration
  deleteCustomerManagedKeyConfiguration deleteDashboard deleteDashboardWidget
  deleteDatabaseCatalog deleteDatabaseInstance deleteDatabaseTable deleteDataVectorIndex
  deleteDataVectorIndexRouteOptimized deleteEndpoint deleteExternalLocation deleteFeatureTable
  deleteFederationPolicy deleteFile deleteFolder deleteFunction deleteGitCredential deleteGroup
  deleteInstruction deleteIpAccessList deleteListing deleteLogDeliveryConfiguration
  deleteMetastore deleteMetastoreAssignment deleteMlflowExperiment deleteModelVersion
  deleteModelVersionTag DeleteMonitor deleteNamespace deleteNetworkConfiguration
  deleteNetworkPolicy deleteNotebook deleteNotificationDestination deletePartnerConnection
  deletePermissionAssignment deletePipeline deletePolicy deletePrivateAccessSettings
  deleteProvider deleteProviderProfile deletePublishedAppIntegration deleteQuery deleteQueryDraft
  deleteQuerySnippet deleteRecipient deleteRegisteredModel deleteRegisteredModelAlias
  deleteRegisteredModelTag deleteRegistryWebhook deleteRepo deleteResourceFailure deleteResult
  deleteRun deleteSchedule deleteSchema deleteScope deleteSecret deleteServicePrincipal
  deleteServingEndpoint deleteSetting deleteShare deleteShareMarketplaceListingLink
  deleteStorageConfiguration deleteStorageCredential deleteSubscription deleteSyncedDatabaseTable
  deleteTable deleteTags deleteTransitionRequest deleteUser deleteUserGitHubCredentials
  deleteVectorIndex deleteVisualization deleteVolume deleteVpcEndpoint deleteWarehouse
  deleteWebhook deleteWorkspaceConfiguration deltaSharingGetShare deltaSharingGetTableMetadata
  deltaSharingGetTableVersion deltaSharingListAllFunctions deltaSharingListAllVolumes
  deltaSharingListFunctions deltaSharingListFunctionVersions deltaSharingListNotebookFiles
  deltaSharingListSchemas deltaSharingListShares deltaSharingListTables deltaSharingListVolumes
  deltaSharingProxyGetTableMetadata deltaSharingProxyGetTableVersion deltaSharingProxyQueryTable
  deltaSharingProxyQueryTableChanges deltaSharingQueriedTable deltaSharingQueriedTableChanges
  deltaSharingQueryNotebookFile deltaSharingQueryTable deltaSharingQueryTableChanges
  denyPermission detachNotebook directoriesDelete directoriesGet directoriesHead directoriesPut
  disable disableClusterAcls disableTableAcls disableWorkspaceAcls discard downloadLargeResults
  downloadPartnerConnectionFile downloadPreviewResults downloadQueryResult edit editWarehouse
  enable enableClusterAcls enableTableAcls enableWorkspaceAcls enrollOAuth executeAdhocQuery
  executeFastQuery executeFullQueryResult executeMessageAttachmentQuery executeMessageQuery
  executeQuery executeWidgetQuery favoriteDashboard fileCreate fileDelete fileEditorOpenEvent
  filesDelete filesGet filesHead filesPut forkQuery garbageCollectDbToken
  generateBatchInferenceNotebook generateDbToken generateDltInferenceNotebook
  generateFeatureSpecYaml generateTemporaryModelVersionCredential generateTemporaryPathCredential
  generateTemporaryPathCredentials generateTemporaryServiceCredential
  generateTemporaryTableCredential generateTemporaryTableCredentials
  generateTemporaryVolumeCredential generateTemporaryVolumeCredentials
  genieCreateConversationMessage genieExecuteMessageAttachmentQuery genieExecuteMessageQuery
  genieGenerateDownloadFullQueryResult genieGetConversationMessage
  genieGetMessageAttachmentQueryResult genieGetMessageQueryResult genieGetQueryResultByAttachment
  genieGetSpace genieStartConversationMessage get getAcl getActivationUrlInfo getAggregatedUsage
  getAlert getBrickstoreOnlineTableMetadata getCatalog getCleanRoom getCleanRoomAsset
  getColumnLineages getConnection getConsumers getConversation getConversationMessage
  getCredentialsConfiguration getCustomerManagedKeyConfiguration getDashboard getDashboardDetails
  getDatabaseCatalog getDatabaseInstance getDatabaseTable getDataProduct getDetailedUsage
  getEffectivePermissions getEntityTableLineages getEvaluationResult getEvaluationResultDetails
  getExternalLocation getFeatures getFeatureStoreWidePermissions getFeatureTable
  getFeatureTablesById getForeignCredentials getFrequentlyJoinedTables getFrequentQueryByTable
  getFrequentUserByTable getFunction getFunctionLineages getGitCredential getGroupMembers
  getGroups getHistoryQueriesByLookupKeys getHistoryQuery getInformationSchema getInheritedGroups
  getJobTableLineages getLogDeliveryConfiguration getMessageQueryResult getMetastore
  getMetastoreSummary getModelServingMetadata getModelVersion getModelVersionByAlias
  getModelVersionDownloadUri getModelVersionLineages getModelVersionSignedDownloadUri getNamespace
  getNetworkConfiguration getNetworkPolicy getOnlineFeatureTables getOnlineFeatureTablesState
  getOnlineStore getOnlineStores getPermissionAssignment getPermissions getPipeline
  getPopularEntities getPopularTables getPrivateAccessSettings getProvider getPublishedDashboard
  getQuery getQueryResult getQuerySchemaPreview getRecipient getRecipientSharePermissions
  getRegisteredModel getRepo getRoleAssignment getRunOutput getSchema getSecret getShare
  getSharePermissions getSpace getStatus getStorageConfiguration getStorageCredential
  getSyncedDatabaseTable getTable getTableEntityLineages getTablePopularityByDate getTags
  getTagSecurableAssignments getTagSubentityAssignments getVolume getVpcEndpoint getWebhook
  getWorkspaceConfiguration getWorkspaceNetworkOption grantPermission importNotebook
  installLibraries installLibraryOnAllClusters installTemplateApp IpAccessDenied
  ipAccessListQuotaExceeded jwtLogin linkGitProvider list listAcls listCatalog listCleanRoomAssets
  listCleanRoomAutoApprovalRules listCleanRoomNotebookTaskRuns listCleanRooms listColumnLineages
  listConnections listConversationMessageComments listConversations listCredentialsConfigurations
  listCuratedQuestions listCustomerManagedKeyConfigurations listCustomLineages
  listDatabaseInstance listEntityLineagesBySecurable listEvaluationResults listEvaluationRuns
  listExternalLocations listFunctions listGitCredentials listHistoryQueries listInstructions
  listLogDeliveryConfigurations listMetastores listModelArtifacts listModelVersions listNamespaces
  listNetworkConfigurations listNetworkPolicies listPrivateAccessSettings listProviders
  listProviderShares listRecipients listRegisteredModels listRegistryWebhooks listRepos listSchema
  listScopes listSecrets listSecurableByEntityEvent listSecurableLineagesBySecurable
  listSecurableTags listShares listSpaces listStorageConfigurations listStorageCredentials
  listSubscriptions listTables listTableSummaries listVolumes listVpcEndpoints
  listWorkspaceConfigurations listWorkspaceEncryptionKeyRecords
  listWorkspaceEncryptionKeyRecordsForAccount loadTable loadTableCredentials loadView login logout
  mfaAddKey mfaDeleteKey mfaLogin migrateDashboard mintOAuthAuthorizationCode mintOAuthToken
  mkdirs modifyAccountConfiguration modifyNotebook modifyWorkspaceConfiguration mount move
  moveAlertToTrash moveDashboardToTrash moveFolder moveMlflowExperiment moveNotebook
  moveQueryToTrash moveWorkspaceNode namespaceExists notifyWebhook oidcBrowserLogin
  oidcTokenAuthorization openNotebook passwordVerifyAuthentication permanentDelete
  previewAlertEvaluate previewAlertExecute privilegedGetTable processRestarting processStarted
  proxyFileUploadup publishDashboard publishFeatureTable pull purgeWorkspaceNodes put putAcl
  putSecret queryVectorIndex queryVectorIndexNextPage queryVectorIndexNextPageRouteOptimized
  queryVectorIndexRouteOptimized read readArtifact reattachHomeFolder RegenerateDashboard
  rejectTransitionRequest removeAccountAdmin removeAdmin removeAllPermissions removeGroup
  removePrincipalFromGroup removePrincipalsFromGroup renameFolder renameMlflowExperimentEvent
  renameNotebook renameRegisteredModel renameSecurable renameTable renameWorkspaceNode repairRun
  reportMetrics requestDataProduct requestPermissions reset resetJobAcl resetPassword resize
  resizeResult restart restartResult restoreAlert restoreDashboard restoreFolder
  restoreMlflowExperiment restoreNotebook restoreQuery restoreRepo retrieveRecipientToken
  revokeDbToken revokePermission rotateRecipientToken runCommand runFailed runNow runNowAlert
  RunRefresh runStart runSucceeded samlLogin scanVectorIndex scanVectorIndexRouteOptimized
  searchFeatureTables sendDashboardSnapshot sendRunWebhook sendTos setAccountAdmin setAdmin
  setEmailSubscriptionStatus setModelVersionTag setRegisteredModelAlias setRegisteredModelTag
  setSetting setTags setTaskValue setupResourcesForPartnerConnection
  setUserLevelEmailSubscriptionStatus setWarehouseConfig showPermissions start startApp
  startResult startSession startUpdate startWarehouse stop stopApp stopWarehouse submitCommand
  submitRun tableExists takeNotebookSnapshot testWebhook tokenLogin transferObjectOwnership
  trashDashboard trashSpace triggerDashboardSnapshot unfavoriteDashboard unfavoriteQuery
  uninstallLibraries uninstallLibraryOnAllClusters unmarkHomeFolder unmount unpublishDashboard
  update updateAccount updateAccountMetastore updateAccountSettings updateAlert updateApp
  updateBudgetPolicy updateCatalog updateCleanRoom updateCleanRoomAsset updateComment
  updateConnection updateConsumerRequestStatus updateConversation updateCredential
  updateCredentialsConfiguration updateCuratedQuestion updateCustomAppIntegration
  updateCustomerManagedKeyConfiguration updateDashboard updateDashboardWidget
  updateDatabaseInstance updateEvaluationResult updateExternalLocation updateFeatureTable
  updateFederationPolicy updateFolderNode updateFunction updateGitCredential updateGroup
  updateInferenceEndpointRateLimits updateInstruction updateIpAccessList updateListing
  updateLogDeliveryConfiguration updateMetadataSnapshot updateMetastore updateMetastoreAssignment
  updateModelVersion UpdateMonitor updateNamespaceProperties updateNetworkConfiguration
  updateNetworkPolicy updateNotificationDestination updateOrganizationSetting
  updatePermissionAssignment updatePermissions updatePipeline updatePrivateAccessSettings
  updateProvider updateProviderProfile updatePublishedAppIntegration updateQuery
  updateQuerySnippet updateRecipient updateRegisteredModel updateRegistryWebhook updateRepo
  updateRoleAssignment updateRuleSet updateSampleQuestions updateSchedule updateSchema
  updateServicePrincipal updateServingEndpoint updateShare updateSharePermissions updateSpace
  updateStorageConfiguration updateStorageCredential updateSubscription updateTable updateTables
  UpdateTagSecurableAssignments UpdateTagSubentityAssignments updateUser
  updateUserGitHubCredentials updateVisualization updateVolume updateVpcEndpoint updateWebhook
  UpdateWorkspaceBindings updateWorkspaceConfiguration updateWorkspaceNetworkOption
  updateWorkspaceSettings uploadFile upsertDataVectorIndex upsertDataVectorIndexRouteOptimized
  validateEmail viewAdhocVisualizationQuery viewExists workspaceConfEdit workspaceExport
  workspaceInHouseOAuthClientAuthentication writeArtifact wsfsStreamingRead
`;

/** Actions of the host security service are titles of alerts. */
const TITLES = `
  AppArmor Disabled In Kernel
  AppArmor Profile Modified
  BPF Program Executed
  Boot Files Modified
  Container Escape via Kernel Exploitation
  Hidden File Created
  Kernel Exploit
  Kernel Module Loaded
  Log Files Deleted
  Modification Of Common System Utilities
  Network Service Created
  Network Service Scanner Executed
  Network Sniffing Program Executed
  New File Executed
  New File Executed in Container
  New System User Added
  Password Database Modification
  Privileged Container Launched
  Processor-Level Protections Disabled
  Repeated Program Crashes
  Root Certificate Store Modified
  SSH Authorized Keys Modification
  Scheduled Tasks Modified Via Program
  Suspicious Interactive Shell
  Systemd Unit File Modified
  User Account Created Via CLI
  User Command Logging Evasion
  User Configuration Changes
  Userland Container Escape
`;

const words = (text: string): string[] => text.trim().split(/\s+/);
const KNOWN = {
  service: new Map(words(SERVICES).map((name) => [name.toLowerCase(), name])),
  action: new Map(
    [...words(ACTIONS), ...TITLES.trim().split(/\s*\n\s*/)].map((name) => [
      name.toLowerCase(),
      name,
    ]),
  ),
};

export type NameKind = keyof typeof KNOWN;

/** Most guesses that are remembered; names that rules repeat are looked for once. */
const GUESSES_MAX = 1_000;
const guesses = new Map<string, string | null>();

/** What is doubtful about a service or an action that a rule names, or null. */
export function nameDoubt(kind: NameKind, name: string): { message: string; hint: string } | null {
  const known = KNOWN[kind];
  if (known.has(name.toLowerCase())) return null;
  const key = `${kind} ${name}`;
  let near = guesses.get(key);
  if (near === undefined) {
    near = nearest(name, known.values());
    if (guesses.size >= GUESSES_MAX) guesses.clear();
    guesses.set(key, near);
  }
  return {
    message: `no ${kind} ${JSON.stringify(name)} is known`,
    hint:
      near === null
        ? `compare it with an audit event; one that is new may be right all the same`
        : `did you mean "${near}"?`,
  };
}
