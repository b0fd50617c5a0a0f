// The plugin __NAME__, an outbound extension: tells somebody else what happened in the host.
//
// Throw a failure of the contract where something is wrong: {tag: "failed", val: "why"}. Anything else that is thrown
// ends the call. This is QuickJS: there is no TextEncoder, no URL, no fetch, no timers.

import http from "hostler:host/http@1.0.0";
import description from "./manifest.js";
import { encode } from "./text.js";

export const manifest = {
  describe: () => JSON.stringify(description),
};

export const outbound = {
  // Events come in order, at least once. What is beyond `through` is given again.
  handle(subscription, events) {
    const { url } = JSON.parse(subscription.params);
    let through = null;
    for (const event of events) {
      const wrong = post(url, event);
      if (wrong === null) through = event.cursor;
      else if (through === null) throw { tag: "temporary", val: { message: wrong, afterMs: null } };
      else break;
    }
    return { through, actions: [] };
  },
};

// Null, or why the receiver does not have it.
function post(url, event) {
  const body = JSON.stringify({ kind: event.kind, pipeline: event.pipeline, run: event.run });
  try {
    const answer = http.send({
      method: "POST",
      url,
      headers: [{ name: "content-type", value: "application/json" }],
      body: encode(body),
      timeoutMs: null,
      credential: null,
    });
    return answer.status >= 200 && answer.status < 300 ? null : `the receiver answers ${answer.status}`;
  } catch (refusal) {
    return `nothing was sent: ${JSON.stringify(refusal.payload ?? refusal)}`;
  }
}
