/** What is counted of proxy and dialling, by name; told to who keeps the counters. */

export const CLIENT_COUNTS = [
  "connections",
  "connections_refused_limit",
  "requests_malformed",
  "requests_slow",
  "requests_gone",
  "requests_refused_password",
  "requests_refused_command",
  "opens_granted",
  "opens_refused",
  "associations",
  "udp_malformed",
  "udp_fragmented",
  "udp_wrong_sender",
  "udp_unsent",
  "forwards_incoming_refused",
] as const;

export const SERVER_COUNTS = [
  "dials",
  "dials_failed",
  "dials_refused_policy",
  "dials_refused_limit",
  "dials_refused_rate",
  "names_not_found",
  "streams_idle_ended",
  "associations",
  "udp_refused_policy",
  "udp_unsent",
  "udp_dropped_waiting",
  "udp_wrong_sender",
  "listeners",
  "listeners_refused",
] as const;

export type ClientCount = typeof CLIENT_COUNTS[number];
export type ServerCount = typeof SERVER_COUNTS[number];
export type Count<Name extends string> = (name: Name) => void;
