'use strict';
// Stands for @auth0/rule-utilities, which the registry of npm does not have any more. Written from what Auth0 says about
// rules that redirect, and from what published rules call; it runs in the script's context, as a package does.

const { createHmac, timingSafeEqual } = require('crypto');

const LIFETIME_S = 15 * 60;
// Where nobody looks at a page, nobody can be sent to one.
const WITHOUT_A_PAGE = ['oauth2-password', 'oauth2-refresh-token', 'oauth2-resource-owner', 'oauth2-resource-owner-jwt-bearer'];

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

class Auth0RedirectRuleUtilities {
  constructor(user, context, configuration) {
    this.user = user;
    this.context = context;
    this.configuration = configuration || {};
  }

  get isRedirectCallback() {
    return this.context.protocol === 'redirect-callback';
  }

  get queryParams() {
    const { query, body } = this.context.request || {};
    return { ...body, ...query };
  }

  get canRedirect() {
    const { protocol, redirect } = this.context;
    const silent = String(this.queryParams.prompt || '').split(' ').includes('none');
    return !redirect && !silent && !this.isRedirectCallback && !WITHOUT_A_PAGE.includes(protocol);
  }

  createSessionToken(claims = {}) {
    const now = Math.floor(Date.now() / 1000);
    const { request = {} } = this.context;
    const content = encoded({ ...claims, sub: this.user.user_id, iss: request.hostname, ip: request.ip, iat: now, exp: now + seconds(this.configuration.SESSION_TOKEN_EXPIRES_IN) });
    const text = `${encoded({ alg: 'HS256', typ: 'JWT' })}.${content}`;
    return `${text}.${this.sign(text)}`;
  }

  validateSessionToken() {
    const [head, content, signature, ...rest] = String(this.queryParams.session_token || '').split('.');
    const right = Buffer.from(this.sign(`${head}.${content}`));
    const given = Buffer.from(String(signature));
    if (rest.length || given.length !== right.length || !timingSafeEqual(given, right)) throw new Error('The session token is invalid');
    const claims = JSON.parse(Buffer.from(content, 'base64url'));
    if (JSON.parse(Buffer.from(head, 'base64url')).alg !== 'HS256') throw new Error('The session token is invalid');
    if (!(claims.exp * 1000 > Date.now())) throw new Error('The session token has expired');
    if (claims.sub !== this.user.user_id) throw new Error('The session token belongs to somebody else');
    return claims;
  }

  doRedirect(url, sessionToken = this.createSessionToken()) {
    if (!this.canRedirect) throw new Error('The user cannot be sent to another page now');
    const target = new URL(url);
    target.searchParams.set('session_token', sessionToken);
    this.context.redirect = { url: target.href };
  }

  sign(text) {
    const secret = this.configuration.SESSION_TOKEN_SECRET;
    if (!secret) throw new Error('SESSION_TOKEN_SECRET is not configured');
    return createHmac('sha256', secret).update(text).digest('base64url');
  }
}

function seconds(configured) {
  const [, number, unit] = /^\s*(\d+)\s*(s|m|h|d)?\s*$/.exec(String(configured || LIFETIME_S)) || [0, LIFETIME_S, 's'];
  return Number(number) * { s: 1, m: 60, h: 3600, d: 86400 }[unit || 's'];
}

// With a namespace, what is read and written lies in a member of that name.
class Auth0UserUpdateUtilities {
  constructor(user, auth0, namespace) {
    this.user = user;
    this.users = auth0.users;
    this.namespace = namespace;
    this.user.app_metadata = this.user.app_metadata || {};
    this.user.user_metadata = this.user.user_metadata || {};
  }

  getAppMeta(key) { return this.member('app_metadata')[key]; }
  getUserMeta(key) { return this.member('user_metadata')[key]; }
  setAppMeta(key, value) { this.member('app_metadata')[key] = value; }
  setUserMeta(key, value) { this.member('user_metadata')[key] = value; }
  updateAppMeta() { return this.users.updateAppMetadata(this.user.user_id, this.changed('app_metadata')); }
  updateUserMeta() { return this.users.updateUserMetadata(this.user.user_id, this.changed('user_metadata')); }

  member(name) {
    const whole = this.user[name];
    if (!this.namespace) return whole;
    whole[this.namespace] = whole[this.namespace] || {};
    return whole[this.namespace];
  }

  changed(name) {
    return this.namespace ? { [this.namespace]: this.member(name) } : this.user[name];
  }
}

module.exports = { Auth0RedirectRuleUtilities, Auth0UserUpdateUtilities };
