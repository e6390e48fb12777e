"""The scopes of the Management API: the power over a tenant, cut into pieces.

One line per kind of object: its name, what may be done with it (`r`ead, `c`reate, `u`pdate, `d`elete, `b`lacklist),
and what it is. The names are Auth0's, from a recording of August 2026 and the June 2026 contract; a test compares them.
"""

_VERBS = {
    "r": ("read", "See"), "c": ("create", "Make"), "u": ("update", "Change"), "d": ("delete", "Remove"),
    "b": ("blacklist", "Refuse"),
}  # fmt: skip

_KINDS = """
client_grants                            rcud  grants of APIs to clients
users                                    rcud  users
users_app_metadata                       rcud  users' app_metadata
user_custom_blocks                       rcd   blocks that an administrator put on users
user_tickets                             c     links with which users verify an address or set a password
clients                                  rcud  applications
client_keys                              rcud  secrets of applications
client_credentials                       rcud  keys and certificates of applications
connections                              rcud  connections
resource_servers                         rcud  APIs
device_credentials                       rcud  credentials of devices
rules                                    rcud  rules
rules_configs                            rud   settings of rules
hooks                                    rcud  hooks
actions                                  rcud  actions
email_provider                           rcud  the e-mail provider
tokens                                   b     tokens
stats                                    r     usage figures
insights                                 r     insights
tenant_settings                          ru    tenant settings
logs                                     r     tenant logs
logs_users                               r     log entries about users
shields                                  rcud  anomaly detection
anomaly_blocks                           rd    blocks by anomaly detection
triggers                                 ru    bindings of actions to triggers
grants                                   rd    consents of users
guardian_factors                         ru    the state of second factors
guardian_enrollments                     rd    second factors of users
guardian_enrollment_tickets              c     links with which users enrol a second factor
user_idp_tokens                          r     tokens that identity providers gave for users
passwords_checking_job                   cd    password checking jobs
custom_domains                           rcud  custom domains
email_templates                          rcu   e-mail templates
mfa_policies                             ru    policies that ask for a second factor
roles                                    rcud  roles
prompts                                  ru    texts and settings of the login pages
branding                                 rud   branding
log_streams                              rcud  log streams
signing_keys                             rcu   signing keys
limits                                   ru    limits of entities
role_members                             rcd   members of roles
entitlements                             r     entitlements
attack_protection                        ru    attack protection
organizations_summary                    r     the short form of organizations
authentication_methods                   rcud  authentication methods of users
organizations                            rcud  organizations
organization_discovery_domains           rcud  discovery domains of organizations
organization_members                     rcd   members of organizations
organization_connections                 rcud  connections of organizations
organization_member_roles                rcd   roles of members in organizations
organization_invitations                 rcd   invitations to organizations
scim_config                              rcud  SCIM configurations
scim_token                               rcd   SCIM tokens
directory_provisionings                  rcud  directory provisioning
phone_providers                          rcud  the phone provider
phone_templates                          rcud  phone message templates
encryption_keys                          rcud  encryption keys
sessions                                 rud   sessions
refresh_tokens                           rud   refresh tokens
self_service_profiles                    rcud  self-service profiles
sso_access_tickets                       cd    self-service access tickets
forms                                    rcud  forms
flows                                    rcud  flows
flows_vault                              r     the vault of flows
flows_vault_connections                  rcud  vault connections of flows
flows_executions                         rd    runs of flows
connections_options                      ru    options of connections
self_service_profile_custom_texts        ru    texts of self-service profiles
network_acls                             rcud  network access lists
vdcs_templates                           rcud  templates of verifiable credentials
custom_signing_keys                      rcud  the customer's own public keys
federated_connections_tokens             rd    token sets of federated connections
user_attribute_profiles                  rcud  user attribute profiles
event_streams                            rcud  event streams
event_deliveries                         ru    deliveries of event streams
connection_profiles                      rcud  connection profiles
group_roles                              rcd   roles of groups
user_effective_permissions               r     permissions that users have by any way
user_effective_roles                     r     roles that users have by any way
organization_member_effective_roles      r     roles that members have by any way
user_role_source_groups                  r     groups that give a user's roles
organization_member_role_source_groups   r     groups that give a member's roles
user_permission_source_roles             r     roles that give a user's permissions
organization_groups                      rcd   groups of organizations
organization_group_roles                 rcd   roles of groups in organizations
token_exchange_profiles                  rcud  token exchange profiles
organization_client_grants               rcd   client grants of organizations
organization_clients                     rcud  applications of organizations
events                                   r     events
rate_limit_policies                      rcud  rate limit policies
portals                                  rcud  portals
network_acl_keys                         rcud  keys of network access lists
security_metrics                         r     security figures
connections_keys                         rcu   keys of connections
groups                                   rcud  groups
group_members                            r     members of groups
experimentation                          rcud  experiments
client_summary                           r     the short form of applications
client_token_vault_privileged_access     u     applications' privileged access to the token vault
"""


def _scopes() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in _KINDS.strip().splitlines():
        kind, verbs, meaning = line.split(maxsplit=2)
        for letter in verbs:
            verb, word = _VERBS[letter]
            found[f"{verb}:{kind}"] = f"{word} {meaning}"
    return found


MANAGEMENT_SCOPES = _scopes()
"""Value to description, in the order in which they are shown."""
