'use strict';
// Packages that scripts require and that no registry has any more: what rules used of them, written anew. They are
// compiled in the context of the script that asks; `require` finds what they need in its set of npm modules.

const PACKAGES = {
  // Auth0's helpers for rules that redirect the user or update the profile.
  '@auth0/rule-utilities': `
    const STAY = ['oauth2-resource-owner', 'oauth2-refresh-token', 'oauth2-password', 'redirect-callback'];
    const jwt = require('jsonwebtoken');

    class Auth0RedirectRuleUtilities {
      constructor(user, context, configuration) {
        const { SESSION_TOKEN_SECRET, SESSION_TOKEN_EXPIRES_IN = '3d' } = configuration || {};
        Object.assign(this, {
          user: user || {}, context: context || {}, noRedirectProtocols: STAY, sign: jwt.sign, verify: jwt.verify,
          tokenSecret: SESSION_TOKEN_SECRET, tokenExpiresIn: SESSION_TOKEN_EXPIRES_IN,
        });
      }
      get redirectUrl() { return this.context.redirect ? this.context.redirect.url : undefined; }
      get queryParams() { return this.context.request && this.context.request.query || {}; }
      get protocolCanRedirect() { return !STAY.includes(this.context.protocol); }
      get isRedirectCallback() { return this.context.protocol === 'redirect-callback'; }
      get canRedirect() {
        const taken = this.redirectUrl || this.context.multifactor || this.queryParams.prompt === 'none';
        return !taken && this.protocolCanRedirect;
      }
      get issuer() { return 'https://' + this.context.request.hostname + '/'; }
      createSessionToken(more) {
        const claims = { ip: this.context.request.ip, iss: this.issuer, sub: this.user.user_id, ...more };
        return this.sign(claims, this.tokenSecret, { expiresIn: this.tokenExpiresIn });
      }
      validateSessionToken(options) {
        const expected = { ...options, subject: this.user.user_id, issuer: this.issuer };
        const claims = this.verify(this.queryParams.session_token, this.tokenSecret, expected);
        if (!claims.exp) throw new Error('Expired token');
        return claims;
      }
      doRedirect(url, options) {
        if (!url || !this.canRedirect) throw new Error('Cannot redirect');
        const { sessionToken, generateSessionToken = true } = options || {};
        const given = typeof sessionToken === 'string' ? sessionToken : '';
        const token = given || (generateSessionToken === true ? this.createSessionToken() : '');
        this.context.redirect = { url: token ? url + '?session_token=' + token : url };
      }
    }

    class Auth0UserUpdateUtilities {
      constructor(user, auth0, namespace) {
        const { ManagementClient } = require('auth0');
        this.apiClient = new ManagementClient({
          token: auth0.accessToken, domain: auth0.domain, options: { retry: { enabled: true, maxRetries: 2 } },
        });
        this.user = user;
        this.userId = user.user_id;
        this.updatedUserData = {};
        this.namespace = typeof namespace === 'string' ? namespace : '';
        this.isNamespaced = this.namespace !== '';
        for (const kind of ['user_metadata', 'app_metadata']) {
          user[kind] = user[kind] || {};
          if (this.isNamespaced) user[kind][this.namespace] = user[kind][this.namespace] || {};
        }
      }
      within(kind, key) {
        return this.isNamespaced && key !== this.namespace ? this.user[kind][this.namespace] : this.user[kind];
      }
      setUser(key, value) { this.user[key] = this.updatedUserData[key] = value; }
      setUserMeta(key, value) { this.within('user_metadata', key)[key] = value; }
      setAppMeta(key, value) { this.within('app_metadata', key)[key] = value; }
      getUserMeta(key) { return this.within('user_metadata', key)[key]; }
      getAppMeta(key) { return this.within('app_metadata', key)[key]; }
      async updateUser() { await this.apiClient.updateUser({ id: this.userId }, this.updatedUserData); }
      async updateUserMeta() { await this.apiClient.updateUserMetadata({ id: this.userId }, this.user.user_metadata); }
      async updateAppMeta() { await this.apiClient.updateAppMetadata({ id: this.userId }, this.user.app_metadata); }
    }

    module.exports = { Auth0RedirectRuleUtilities, Auth0UserUpdateUtilities, noRedirectProtocols: STAY };
  `,
};

// The text of such a package, whatever version is asked for; undefined for every other name.
function withdrawn(request) {
  const at = request.indexOf('@', 1);
  const name = at < 0 ? request : request.slice(0, at);
  return Object.hasOwn(PACKAGES, name) ? { name, text: PACKAGES[name] } : undefined;
}

module.exports = { withdrawn };
