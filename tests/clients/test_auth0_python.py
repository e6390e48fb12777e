"""auth0-python, Auth0's own library: only the domain is another."""

import ssl
import time
from collections.abc import Iterator

import httpx
import pytest
from auth0.management import ManagementClient
from auth0.management.core.api_error import ApiError
from auth0.management.types import ResourceServerScope

from tests.support.server import LiveServer

DATABASE = "Username-Password-Authentication"
PASSWORD = "Correct-Horse-Battery-9"


@pytest.fixture(scope="module")
def live(server: LiveServer) -> Iterator[LiveServer]:
    server.freehold("tenants", "reset", str(server.facts["tenant"]), "--yes")
    server.forget_tokens()
    yield server
    server.reset()


@pytest.fixture(scope="module")
def api(live: LiveServer) -> Iterator[ManagementClient]:
    context = ssl.create_default_context(cafile=live.ca_file)
    known = live.facts["management"]
    with httpx.Client(verify=context, timeout=30) as http:
        yield ManagementClient(
            domain=live.base_url.removeprefix("https://"), token=live.management_token(), httpx_client=http
        )
    assert known["client_id"]


def test_clients_are_made_read_changed_listed_and_deleted(api: ManagementClient) -> None:
    made = api.clients.create(name="Shop", app_type="regular_web", callbacks=["https://shop.test/cb"])
    assert made.client_id
    assert made.client_secret
    assert made.callbacks == ["https://shop.test/cb"]

    assert api.clients.update(made.client_id, description="Sells").description == "Sells"
    assert api.clients.rotate_secret(made.client_id).client_secret != made.client_secret
    assert made.client_id in [client.client_id for client in api.clients.list(per_page=2)]
    api.clients.delete(made.client_id)
    with pytest.raises(ApiError) as refusal:
        api.clients.get(made.client_id)
    assert refusal.value.status_code == 404


def test_connections_with_their_clients(api: ManagementClient) -> None:
    client = api.clients.create(name="With a database", app_type="spa")
    assert client.client_id
    made = api.connections.create(name="customers", strategy="auth0", display_name="Customers")
    assert made.id
    api.connections.clients.update(made.id, request=[{"client_id": client.client_id, "status": True}])
    assert [item.client_id for item in api.connections.clients.get(made.id)] == [client.client_id]
    assert "customers" in [connection.name for connection in api.connections.list()]
    assert api.connections.get(made.id).strategy == "auth0"
    api.connections.delete(made.id)


def test_apis_grants_roles_and_permissions(api: ManagementClient) -> None:
    scopes = [ResourceServerScope(value="read:orders", description="Read orders")]
    resource = api.resource_servers.create(identifier="https://orders.test", name="Orders", scopes=scopes)
    assert resource.id
    client = api.clients.create(name="Machine", app_type="non_interactive")
    assert client.client_id
    grant = api.client_grants.create(client_id=client.client_id, audience="https://orders.test", scope=["read:orders"])
    assert grant.id
    assert [found.id for found in api.client_grants.list(client_id=client.client_id)] == [grant.id]

    role = api.roles.create(name="Clerk", description="Handles orders")
    assert role.id
    named = {"resource_server_identifier": "https://orders.test", "permission_name": "read:orders"}
    api.roles.permissions.add(role.id, permissions=[named])
    assert [p.permission_name for p in api.roles.permissions.list(role.id)] == ["read:orders"]
    user = api.users.create(connection=DATABASE, email="clerk@example.com", password=PASSWORD)
    assert user.user_id
    api.users.roles.assign(user.user_id, roles=[role.id])
    assert [found.name for found in api.users.roles.list(user.user_id)] == ["Clerk"]
    assert [found.email for found in api.roles.users.list(role.id)] == ["clerk@example.com"]
    assert [p.permission_name for p in api.users.permissions.list(user.user_id)] == ["read:orders"]
    api.users.delete(user.user_id)
    api.roles.delete(role.id)
    api.resource_servers.delete(resource.id)


def test_users_are_made_searched_merged_and_deleted(api: ManagementClient) -> None:
    made = api.users.create(
        connection=DATABASE, email="Ada@Example.com", password=PASSWORD, user_metadata={"colour": "green", "size": 1}
    )
    assert made.user_id
    assert made.email == "ada@example.com"
    changed = api.users.update(made.user_id, user_metadata={"size": None, "shape": "round"})
    assert changed.user_metadata == {"colour": "green", "shape": "round"}
    assert [user.user_id for user in api.users.list(q='email:"ada@example.com"', search_engine="v3")] == [made.user_id]
    assert [user.user_id for user in api.users.list_users_by_email(email="ada@example.com")] == [made.user_id]
    with pytest.raises(ApiError) as refusal:
        api.users.create(
            connection=DATABASE, email="ada@example.com", password=PASSWORD, request_options={"max_retries": 0}
        )
    assert refusal.value.status_code == 409
    assert api.tickets.change_password(user_id=made.user_id).ticket.startswith("https://")
    assert api.tickets.verify_email(user_id=made.user_id).ticket.startswith("https://")
    api.users.delete(made.user_id)


def test_jobs_import_and_export_users(api: ManagementClient) -> None:
    connection = next(found for found in api.connections.list() if found.name == DATABASE)
    assert connection.id
    rows = b'[{"email": "imported@example.com", "email_verified": true, "user_id": "abc"}]'
    job = api.jobs.users_imports.create(users=("users.json", rows, "application/json"), connection_id=connection.id)
    deadline = time.monotonic() + 60
    while (state := api.jobs.get(job.id)).status in {"pending", "processing"} and time.monotonic() < deadline:
        time.sleep(0.2)
    assert state.status == "completed"
    assert api.users.get("auth0|abc").email == "imported@example.com"
    export = api.jobs.users_exports.create(connection_id=connection.id, format="json")
    assert export.id
    while (finished := api.jobs.get(export.id)).status in {"pending", "processing"} and time.monotonic() < deadline:
        time.sleep(0.2)
    assert finished.status == "completed"
    assert finished.location


def test_settings_logs_and_keys(api: ManagementClient) -> None:
    assert api.tenants.settings.update(friendly_name="Shop").friendly_name == "Shop"
    assert api.tenants.settings.get().friendly_name == "Shop"
    assert [log.log_id for log in api.logs.list(per_page=5)]
    signing = [key for key in api.keys.signing.list() if not key.revoked]
    assert len([key for key in signing if key.current]) == 1
    assert len([key for key in signing if key.next]) == 1
