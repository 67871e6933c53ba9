// What a load would come to, before a cent is spent.

import {sum} from "./bar.js";
import {Part, h, said} from "./dom.js";
import {bytes, count, dollars, duration, percent, plural} from "./format.js";

class Estimate extends Part {
  view() {
    const {estimate, stale} = this.told;
    return [h("section", {class: `estimate ${stale ? "stale" : ""}`, "aria-labelledby": "estimate"},
      h("h2", {id: "estimate"}, "Estimate"),
      this.sum(estimate),
      h("p", {class: "price"}, this.price(estimate)),
      estimate.namespace_check?.problem && h("p", {class: "notice"}, said(estimate.namespace_check.problem)),
      this.rejects(estimate),
      this.warnings(estimate),
      this.first(estimate),
      this.columns(estimate))];
  }

  sum({rows, usable, skipped, unchanged, rejected}) {
    const same = unchanged ? [[unchanged, "unchanged", "+"]] : [];
    return sum([rows, "rows"], [usable, "to embed", "="], ...same, [skipped - unchanged, "skipped", "+"], [rejected, "rejected", "+"]);
  }

  price(estimate) {
    const {bill} = estimate;
    const openai = bill?.openai_dollars ?? estimate.price_usd;
    const pinecone = bill?.pinecone_dollars;
    const most = bill?.at_most?.pinecone_dollars;
    const told = [
      `${plural(estimate.billed_tokens, "token")} to buy${estimate.billed_tokens < estimate.tokens ? ` of ${count(estimate.tokens)}` : ""}`,
      openai !== undefined ? `${dollars(openai)} OpenAI` : "no price of the model is configured",
      pinecone !== undefined && `${dollars(pinecone)}${most > pinecone ? ` to ${dollars(most)}` : ""} Pinecone`,
      estimate.removed > 0 && `${plural(estimate.removed, "vector")} to remove`,
      estimate.duration_seconds !== undefined && `about ${duration(estimate.duration_seconds)} at the present limits`,
    ];
    return told.filter(Boolean).join(" · ");
  }

  rejects({rejects = [], rows}) {
    if (!rejects.length) return null;
    return h("div", {key: "rejects"}, h("h3", {}, "Would be rejected"), h("ul", {class: "groups"}, rejects.map((group) => h("li", {key: group.reason},
      h("p", {}, h("code", {}, group.reason), ` ${plural(group.rows, "row")}, ${percent(group.rows / Math.max(1, rows))}`),
      h("ul", {class: "quiet"}, (group.samples || []).map((each) => h("li", {}, `Row ${count(each.row_number)}: `, said(each.message))))))));
  }

  warnings({warnings = []}) {
    if (!warnings.length) return null;
    return h("div", {key: "warnings"}, h("h3", {}, "Warnings"),
      h("ul", {class: "warned"}, warnings.map((each) => h("li", {}, h("code", {}, each.code), " ", said(each.message)))));
  }

  first({first_rows: rows = []}) {
    if (!rows.length) return null;
    return h("div", {key: "first"}, h("h3", {}, "The first rows as they would be stored"), h("ol", {class: "first"}, rows.map((row) => h("li", {key: row.id},
      h("p", {}, h("code", {}, said(row.id)), h("span", {class: "quiet"}, ` row ${count(row.row_number)}, ${plural(row.tokens, "token")}`)),
      h("p", {class: "long"}, said(row.text)), metadata(row.metadata, row.metadata?.text === row.text ? ["text"] : [])))));
  }

  columns(estimate) {
    const told = [estimate.encoding + (estimate.encoding_guessed ? " (guessed)" : ""), `delimiter ${estimate.delimiter === "\t" ? "tab" : estimate.delimiter}`,
      `quoting ${estimate.quoting}`, estimate.gzip && "gzip", bytes(estimate.size_bytes), plural(estimate.chunks, "chunk")];
    return h("div", {key: "columns"}, h("h3", {}, "Found out"), h("p", {class: "quiet"}, told.filter(Boolean).join(" · ")),
      h("ul", {class: "columns"}, estimate.columns.slice(0, 200).map((each) => h("li", {}, said(each.name), " ", h("span", {class: "quiet"}, each.type)))));
  }
}

/** The type that a value of metadata has. */
export const typeOf = (value) => (Array.isArray(value) ? "list" : typeof value);

/** Metadata with the type that each value has in the index. */
export function metadata(values = {}, hidden = []) {
  const shown = Object.entries(values).filter(([name]) => !hidden.includes(name));
  return h("dl", {class: "metadata"}, shown.map(([name, value]) => h("div", {}, h("dt", {}, said(name)),
    h("dd", {class: typeOf(value)}, said(Array.isArray(value) ? value.join(", ") : String(value)), h("span", {class: "unseen"}, ` (${typeOf(value)})`)))));
}

customElements.define("vl-estimate", Estimate);
