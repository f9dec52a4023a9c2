/** Sends readings to Tidegate and loses none while its disk lasts. See {@link Client}. */
export { Client, Closed } from "./client.js";
export type { Events, Options } from "./client.js";
export type { Reading, Value } from "./wire.js";
