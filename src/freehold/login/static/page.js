// Improves forms that work without it: buttons that show a password or copy a code, rules that tick themselves off
// while one types, and one submission per click. No dependencies, nothing is stored or sent.
"use strict";

const svg = (paths) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const attributes = {
    viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": "1.8",
    "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true",
  };
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  for (const d of paths) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", d);
    element.append(path);
  }
  return element;
};

const EYE = ["M2.5 12s3.5-6.5 9.5-6.5 9.5 6.5 9.5 6.5-3.5 6.5-9.5 6.5S2.5 12 2.5 12z", "M12 9.2a2.8 2.8 0 100 5.6 2.8 2.8 0 000-5.6z"];
const CROSSED = [...EYE, "M4 4l16 16"];

for (const box of document.querySelectorAll("[data-reveal]")) {
  const input = box.querySelector("input");
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-controls", input.id);
  const show = (visible) => {
    input.type = visible ? "text" : "password";
    button.setAttribute("aria-label", visible ? box.dataset.hide : box.dataset.show);
    button.title = visible ? box.dataset.hide : box.dataset.show;
    button.replaceChildren(svg(visible ? CROSSED : EYE));
  };
  show(false);
  button.addEventListener("click", () => {
    show(input.type === "password");
    input.focus();
  });
  // A password must be sent from a password input, or browsers do not offer to store it.
  input.form.addEventListener("submit", () => show(false));
  box.append(button);
}

const KINDS = { lower: /[a-z]/, upper: /[A-Z]/, digit: /[0-9]/, special: /[^a-zA-Z0-9]/ };

for (const rules of document.querySelectorAll("[data-rules-for]")) {
  const input = document.getElementById(rules.dataset.rulesFor);
  const tell = (item, met) => {
    if (item.dataset.state === (met ? "met" : "open")) return;
    item.dataset.state = met ? "met" : "open";
    let status = item.querySelector(":scope > .unseen");
    if (!status) {
      status = document.createElement("span");
      status.className = "unseen";
      const nested = item.querySelector("ul");
      nested ? item.insertBefore(status, nested) : item.append(status);
    }
    status.textContent = ` (${met ? rules.dataset.met : rules.dataset.unmet})`;
  };
  const check = () => {
    const password = input.value;
    for (const item of rules.querySelectorAll("[data-min-length]")) {
      tell(item, [...password].length >= Number(item.dataset.minLength));
    }
    for (const item of rules.querySelectorAll("[data-kind]")) tell(item, KINDS[item.dataset.kind].test(password));
    for (const item of rules.querySelectorAll("[data-kinds]")) {
      tell(item, item.querySelectorAll('[data-kind][data-state="met"]').length >= Number(item.dataset.kinds));
    }
    for (const item of rules.querySelectorAll("[data-no-repeats]")) {
      tell(item, password !== "" && !/(.)\1\1/u.test(password));
    }
  };
  input.addEventListener("input", check);
}

for (const box of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = box.dataset.copyLabel;
  const code = box.querySelector("code").textContent;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code);
    button.textContent = box.dataset.copied;
  });
  box.append(button);
}

// A form that brings a file leaves the page where it is, and can be sent again.
for (const form of document.querySelectorAll("form:not([data-stays])")) {
  form.addEventListener("submit", (event) => {
    if (form.getAttribute("aria-busy") === "true") event.preventDefault();
    form.setAttribute("aria-busy", "true");
  });
}

// Back from the next page, out of the browser's cache: the form can be sent again.
window.addEventListener("pageshow", () => {
  for (const form of document.forms) form.removeAttribute("aria-busy");
});
