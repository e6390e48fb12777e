// Lets a browser's passkeys sign what a page asks for. Everything else in the dashboard works without this script.
//
// A form with `data-passkey="PURPOSE"` asks `data-options` (default: /admin/passkey-options) for what to sign, lets the
// browser do it, puts the answer into its hidden input `passkey`, and is sent like any other form.
"use strict";

const toBytes = (text) => {
  const binary = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
};

const toText = (buffer) => {
  const binary = Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join("");
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
};

const descriptors = (list) => (list || []).map((item) => ({ ...item, id: toBytes(item.id) }));

const create = async (options) => {
  const credential = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: toBytes(options.challenge),
      user: { ...options.user, id: toBytes(options.user.id) },
      excludeCredentials: descriptors(options.excludeCredentials),
    },
  });
  return {
    id: credential.id,
    rawId: toText(credential.rawId),
    type: credential.type,
    clientExtensionResults: {},
    response: {
      attestationObject: toText(credential.response.attestationObject),
      clientDataJSON: toText(credential.response.clientDataJSON),
      transports: credential.response.getTransports ? credential.response.getTransports() : [],
    },
  };
};

const get = async (options) => {
  const credential = await navigator.credentials.get({
    publicKey: {
      ...options,
      challenge: toBytes(options.challenge),
      allowCredentials: descriptors(options.allowCredentials),
    },
  });
  const { authenticatorData, clientDataJSON, signature, userHandle } = credential.response;
  return {
    id: credential.id,
    rawId: toText(credential.rawId),
    type: credential.type,
    clientExtensionResults: {},
    response: {
      authenticatorData: toText(authenticatorData),
      clientDataJSON: toText(clientDataJSON),
      signature: toText(signature),
      userHandle: userHandle ? toText(userHandle) : null,
    },
  };
};

for (const form of document.querySelectorAll("form[data-passkey]")) {
  if (!window.PublicKeyCredential) continue;
  form.hidden = false;
  for (const part of document.querySelectorAll("[data-with-passkey]")) part.hidden = false;
  const problem = form.querySelector("[data-passkey-problem]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    try {
      const answer = await fetch(form.dataset.options || "/admin/passkey-options", {
        method: "POST",
        headers: { "content-type": "application/json", "x-csrf-token": form.elements.csrf_token.value },
        body: JSON.stringify({ purpose: form.dataset.passkey }),
      });
      if (!answer.ok) throw new Error(answer.statusText);
      const options = await answer.json();
      const signed = form.dataset.passkey === "register" ? await create(options) : await get(options);
      form.elements.passkey.value = JSON.stringify(signed);
      HTMLFormElement.prototype.submit.call(form);
    } catch {
      problem.hidden = false;
      form.removeAttribute("aria-busy");
    }
  });
}
