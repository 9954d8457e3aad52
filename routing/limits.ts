/**
 * Every bound of the route table and of the resources that it is made from, with its unit last in the
 * name. The schemas, the compiler and the wire format read them from here and from nowhere else.
 */
export const limits = {
  /** RFC 1035: a label, and a name in its textual form without the trailing dot. */
  labelOctetsMax: 63,
  domainOctetsMax: 253,
  /** RFC 5321 4.5.3.1: local part; a path is 256 with its angle brackets. */
  localOctetsMax: 64,
  addressOctetsMax: 254,

  /** Lists of one MailRoute. */
  suffixesMax: 1000,
  domainsMax: 1000,
  addressesMax: 1000,
  /** Recipient keys times sender keys of one MailRoute. */
  pairsPerRouteMax: 10_000,
  /** Sender entries under one recipient key, over all resources. */
  sendersPerKeyMax: 4096,
  hostsMax: 32,
  priorityMax: 65_535,
  weightMax: 65_535,
  replyTextCharsMax: 400,
  secretNameCharsMax: 253,
  urlCharsMax: 1024,
  oauthTextCharsMax: 512,
  connectionsMax: 100_000,
  messagesPerConnectionMax: 100_000,
  messagesPerSecondMax: 1_000_000,
  retryMsMin: 1_000,
  retryMsMax: 30 * 86_400_000,

  /** Lists of one MailGrant. */
  grantNamespacesMax: 1000,
  grantSuffixesMax: 1000,
  grantHostsMax: 256,
  grantPortsMax: 32,
  grantSelectorTermsMax: 32,
  grantRoutesMax: 100_000,
  grantKeysMax: 1_000_000,
  grantMessagesPerHourMax: 1_000_000_000,
  grantDkimMax: 64,

  /** Wire format. */
  shardBytesTarget: 64 * 1024,
  shardBytesMax: 512 * 1024,
  shardCountMax: 8192,
  unavailableCharsMax: 500,
  shardRawBytesMax: 16 * 1024 * 1024,
  manifestBytesMax: 1024 * 1024,
  manifestParentsMax: 16,
} as const;

/** Before a vanished route's contested key passes to whoever waits for it. */
export const conflictHoldMsDefault = 5 * 60_000;
