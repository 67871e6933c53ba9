// Where the reader is, in the address: #/, #/task/<id>, #/load, #/search, #/line, each with its filters as a query.

/** The page, the id in it, and its query. */
export function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [page, ...rest] = path.split("/");
  return {page: page || "tasks", id: decode(rest.join("/")), query: new URLSearchParams(query)};
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a page. */
export function to(page, id = "", query = {}) {
  const found = new URLSearchParams(
    Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== ""));
  const path = [page === "tasks" ? "" : page, id && encodeURIComponent(id)].filter(Boolean).join("/");
  return `#/${path}${found.size ? `?${found}` : ""}`;
}

/** This page's address with some of its query changed; the page number begins anew unless it is what changes. */
export function changed(changes) {
  const {page, id, query} = route();
  return to(page, id, {...Object.fromEntries(query), page: "", ...changes});
}

/** Change the address without a step in the history: for what is typed. */
export function replace(address) {
  history.replaceState(null, "", address);
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}
