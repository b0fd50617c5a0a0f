// The plugin notify, an outbound extension: posts a line of text about each run that has ended to a webhook.

import http from "hostler:host/http@1.0.0";
import log from "hostler:host/log@1.0.0";
import description from "./manifest.js";
import { encode } from "./text.js";

const WORDS = {
  "run.success": "succeeded",
  "run.failed": "failed",
  "run.cancelled": "was cancelled",
  "run.timed_out": "ran out of time",
};

export const manifest = {
  describe: () => JSON.stringify(description),
};

export const outbound = {
  handle(subscription, events) {
    const params = JSON.parse(subscription.params);
    let through = null;
    for (const event of events) {
      const failure = post(params, event);
      // What was posted is not posted again: the rest comes back with the next call.
      if (failure && through !== null) break;
      if (failure) throw failure;
      through = event.cursor;
    }
    return { through, actions: [] };
  },
};

// The failure of the contract that says why it was not taken, or null.
function post(params, event) {
  const text = `${event.pipeline ?? "a pipeline"}: run ${event.run ?? "?"} ${WORDS[event.kind] ?? event.kind}`;
  let answer;
  try {
    answer = http.send({
      method: "POST",
      url: params.url,
      headers: [{ name: "content-type", value: "application/json" }],
      body: encode(JSON.stringify({ [params.field]: text })),
      timeoutMs: 5_000,
      credential: params.authorised ? "token" : null,
    });
  } catch (thrown) {
    const refusal = thrown.payload ?? thrown;
    // A refusal is the operator's to mend, and nothing is gained by asking again soon.
    if (refusal.tag === "denied" || refusal.tag === "missing") return { tag: "failed", val: refusal.val };
    return temporary(`nothing was posted: ${refusal.val}`, null);
  }
  if (answer.status >= 200 && answer.status < 300) return null;
  const told = `the webhook answers ${answer.status}`;
  log.write("warn", told, [{ name: "run", value: event.run ?? "" }]);
  if (answer.status === 429 || answer.status >= 500) return temporary(told, retryAfter(answer));
  return { tag: "failed", val: told };
}

const temporary = (message, afterMs) => ({ tag: "temporary", val: { message, afterMs } });

// Seconds only: a date would need a clock to compare with.
function retryAfter({ headers }) {
  const seconds = Number(headers.find(({ name }) => name === "retry-after")?.value);
  return Number.isFinite(seconds) && seconds > 0 ? Math.round(seconds * 1000) : null;
}
