"""What is fetched before a sign-in: the signing certificate, and the script that Lock draws itself from."""

import json

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_pem_pkcs7_certificates

from tests.support.applications import Application, make_application
from tests.support.in_process import Installation


def test_every_form_is_the_certificate_of_the_key_that_signs(installation: Installation) -> None:
    with installation.client() as http:
        key = http.get("/.well-known/jwks.json").json()["keys"][0]
        forms = {form: http.get(f"/{form}") for form in ("pem", "rawpem", "cer", "pb7", "fingerprint")}
        again = http.get("/pem", headers={"if-none-match": forms["pem"].headers["etag"]})
        assert http.get("/pem?cert=connection").status_code == 404

    assert {answer.status_code for answer in forms.values()} == {200}
    certificate = x509.load_pem_x509_certificate(forms["pem"].content)
    assert certificate == x509.load_der_x509_certificate(forms["cer"].content)
    assert load_pem_pkcs7_certificates(forms["pb7"].content) == [certificate]
    assert forms["rawpem"].content == forms["pem"].content
    assert bytes.fromhex(forms["fingerprint"].text.replace(":", "")) == certificate.fingerprint(hashes.SHA1())
    assert key["x5c"][0] in "".join(forms["pem"].text.splitlines())
    assert certificate.public_bytes(Encoding.DER) == forms["cer"].content
    assert 'filename="' in forms["pem"].headers["content-disposition"]
    assert forms["rawpem"].headers["content-type"] == "text/plain; charset=utf-8"
    assert again.status_code == 304


def test_a_new_key_shows_at_once(installation: Installation) -> None:
    with installation.client() as http, installation.management() as api:
        before = http.get("/pem").content
        assert api.post("/keys/signing/rotate").status_code == 201
        assert http.get("/pem").content != before


def described(app: Application) -> dict[str, object]:
    with app.installation.client() as http:
        answer = http.get(f"/client/{app.client_id}.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/javascript; charset=utf-8"
    text = answer.text
    assert text.startswith("Auth0.setClient(")
    assert text.endswith(");")
    found: dict[str, object] = json.loads(text[len("Auth0.setClient(") : -2])
    return found


def test_the_script_names_the_connections_and_what_their_forms_ask(installation: Installation) -> None:
    app = make_application(installation)
    found = described(app)

    assert (found["id"], found["callback"]) == (app.client_id, app.callback)
    assert found["strategies"] == [
        {
            "name": "auth0",
            "connections": [
                {
                    "name": app.connection,
                    "showSignup": True,
                    "showForgot": True,
                    "requires_username": False,
                    "validation": {"username": {"min": 1, "max": 128}},
                    "passwordPolicy": "good",
                }
            ],
        }
    ]
    assert app.client_secret is not None
    assert app.client_secret not in json.dumps(found)


def test_there_is_no_script_of_what_is_no_application(installation: Installation) -> None:
    with installation.client() as http:
        app = make_application(installation)
        for path in ("/client/unknown.js", f"/client/{app.client_id}", "/client/.js"):
            assert http.get(path).status_code == 404
