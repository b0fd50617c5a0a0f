// The plugin __NAME__, an inbound extension: takes in webhooks, and says which of them start a pipeline.
//
// Throw a failure of the contract where something is wrong: {tag: "failed", val: "why"}. Anything else that is thrown
// ends the call. This is QuickJS: there is no TextDecoder, no URL, no fetch, no timers.

import secrets from "hostler:host/secrets@1.0.0";
import description from "./manifest.js";
import { decode } from "./text.js";

export const manifest = {
  describe: () => JSON.stringify(description),
};

export const inbound = {
  // What a subscription listens to; it is asked about deliveries of that topic only.
  topic: (subscription) => JSON.parse(subscription.params).event,

  // Verifies who sends, and understands what is sent.
  receive(endpoint, request) {
    const header = (name) => request.headers.find((header) => header.name === name)?.value ?? null;
    // The host holds the secret and the body; the plugin sees the first never, and need not pass the second back.
    const signature = bytes(header("x-signature") ?? "");
    if (!secrets.verify("webhook", "hmac-sha256", [{ tag: "request-body" }], signature)) {
      throw { tag: "denied", val: "the signature is wrong" };
    }
    const kind = header("x-event") ?? "event";
    return {
      id: header("x-delivery"),
      kind,
      topics: [kind],
      summary: `${kind} was received`,
      attributes: [],
      // Only what `select` needs: the whole request is kept by the host.
      data: JSON.stringify(JSON.parse(decode(request.body))),
      reply: null,
      extra: [],
    };
  },

  // What a delivery means for one subscription.
  select(subscription, delivery) {
    const start = {
      params: "{}",
      attributes: [{ name: "EVENT", value: delivery.kind }],
      summary: delivery.summary,
      key: delivery.id,
      untrusted: false,
      extra: [],
    };
    return [{ tag: "start", val: start }];
  },
};

// Hexadecimal digits as bytes.
const bytes = (text) => new Uint8Array((text.match(/../g) ?? []).map((pair) => parseInt(pair, 16)));
