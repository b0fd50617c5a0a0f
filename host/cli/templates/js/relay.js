// The plugin __NAME__, a relay: passes on what a job reports to the address that its sender gave.
//
// Throw a failure of the contract where something is wrong: {tag: "failed", val: "why"}. Anything else that is thrown
// ends the call. This is QuickJS: there is no TextDecoder, no URL, no fetch, no timers.

import http from "hostler:host/http@1.0.0";
import description from "./manifest.js";

export const manifest = {
  describe: () => JSON.stringify(description),
};

export const relay = {
  // A temporary failure is tried again, in order for one job; anything else is not.
  relay(report, attempt) {
    let answer;
    try {
      answer = http.send({
        method: "POST",
        url: report.callback,
        headers: [
          { name: "content-type", value: report.contentType },
          { name: "x-status", value: report.status },
          { name: "x-sequence", value: String(report.sequence) },
        ],
        body: report.body,
        timeoutMs: null,
        credential: null,
      });
    } catch (refusal) {
      throw again(`nothing was sent: ${JSON.stringify(refusal.payload ?? refusal)}`);
    }
    if (answer.status >= 500) throw again(`it answers ${answer.status}`);
    if (answer.status < 200 || answer.status >= 300) throw { tag: "failed", val: `it answers ${answer.status}` };
  },
};

const again = (message) => ({ tag: "temporary", val: { message, afterMs: null } });
