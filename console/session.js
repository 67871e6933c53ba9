// Who is at the page: what the key may do, as the API says it.

import {ApiError, ask, key} from "./api.js";
import {h} from "./dom.js";

/** The key's view, or null while nobody has given a key. */
export const session = {who: null};

/**
 * Ask the API who the key is. A key without the scope `read` cannot ask; it may load.
 */
export async function enter(secret) {
  key.set(secret);
  try {
    session.who = await ask("key");
  } catch (error) {
    if (!(error instanceof ApiError && error.reason === "SCOPE_MISSING")) {
      session.who = null;
      if (error instanceof ApiError && error.status === 401) key.set("");
      throw error;
    }
    session.who = {
      key_id: /key '([^']+)'/.exec(error.message)?.[1] || "", scopes: ["ingest"],
      every_namespace: true, every_question: true, every_source: true,
    };
  }
}

export function leave() {
  key.set("");
  session.who = null;
}

export const may = (scope) => Boolean(session.who?.scopes.includes(scope));

/** What the key's lists leave it, in words; empty: everything. */
export function bounds() {
  const who = session.who;
  const told = [];
  for (const [name, one] of [["namespaces", "namespace"], ["questions", "question"], ["sources", "source"]]) {
    if (!who[`every_${one}`]) told.push(`${name}: ${(who[name] || []).join(", ") || "none"}`);
  }
  return told;
}

/** Whether the key's list has this namespace. */
export function allowed(namespace) {
  const who = session.who;
  return who.every_namespace || (who.namespaces || []).some(
    (each) => (each.endsWith("*") ? namespace.startsWith(each.slice(0, -1)) : each === namespace));
}

/** The namespaces that the key's list has by their whole name, as options of a field. */
export const ownNamespaces = () => (session.who.namespaces || []).filter((each) => !each.endsWith("*")).map((value) => h("option", {value}));
