// Asks for the key, once a tab.

import {Part, h} from "./dom.js";
import {enter} from "./session.js";

class Enter extends Part {
  view() {
    const problem = this.problem ?? this.told?.refused;
    return [h("main", {class: "enter", id: "main"},
      h("h1", {}, "Vectorline"),
      h("form", {onsubmit: (event) => this.enter(event)},
        h("label", {for: "key"}, "API key"),
        h("input", {
          id: "key", name: "key", type: "password", autocomplete: "current-password", required: true, autofocus: true,
          spellcheck: "false", "aria-describedby": "key-hint key-problem", "aria-invalid": problem ? "true" : null,
        }),
        h("p", {id: "key-problem", class: "problem", role: "alert"}, problem || ""),
        h("button", {key: "enter", class: "main", disabled: Boolean(this.asking)}, this.asking ? "Asking …" : "Enter")),
      h("p", {id: "key-hint", class: "quiet"}, "It stays in this tab until the tab is closed, and is sent to this gateway only. ",
        h("code", {}, "make up"), " writes one into ", h("code", {}, ".run/endpoints.env"), "."))];
  }

  async enter(event) {
    event.preventDefault();
    const field = this.querySelector("#key");
    const secret = field.value.trim();
    this.problem = "";
    if (!/^[\x21-\x7e]+$/.test(secret)) {
      this.problem = "A key is made of letters, digits and signs, without blanks between them.";
      this.refresh();
      return;
    }
    this.asking = true;
    this.show();
    try {
      await enter(secret);
      field.value = "";
      document.dispatchEvent(new CustomEvent("entered"));
    } catch (error) {
      this.problem = error.message;
    }
    this.asking = false;
    this.refresh();
    field.focus();
  }
}

customElements.define("vl-enter", Enter);
