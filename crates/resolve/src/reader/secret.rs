//! Reads Secrets by hand: what is said about one never quotes what it holds, as the general reader does of wrong types.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde_json::Value;
use weir_plan::{CertificateName, SecretValue};

use super::{Admission, Reader};
use crate::api::secret::{
    AUTHORITIES, CREDENTIAL, Credential, REVOKED, Secret, TLS_SECRET, Unusable,
};
use crate::certificate::{self, CERTIFICATE, KEY};
use crate::diagnostics::FieldPath;
use crate::object::{Object, Reading};
use crate::strict::UnknownField;

/// The fields of a Secret.
const FIELDS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "type",
    "data",
    "stringData",
    "immutable",
];
/// Bytes that a Secret may hold in all, as an API server has it.
const MAX_BYTES: usize = 1024 * 1024;

impl Reader {
    /// A Secret: its type, the certificate in it where that is what it is for, and the authorities, lists of revoked
    /// certificates and credential, if there are any.
    /// Everything else in it is forgotten.
    pub(super) fn secret(mut self) -> Reading {
        self.prepare();
        let metadata = self.metadata();
        let r#type = match self.fields.get("type") {
            None | Some(Value::Null) => "Opaque".to_owned(),
            Some(Value::String(word)) => word.clone(),
            Some(_) => {
                self.wrong_type(FieldPath::new("type"), "a text");
                String::new()
            }
        };
        let unknown = self
            .fields
            .keys()
            .filter(|it| !FIELDS.contains(&it.as_str()));
        for name in unknown.cloned().collect::<Vec<_>>() {
            self.unknown(UnknownField {
                at: FieldPath::new(&name),
                name,
                known: FIELDS,
            });
        }
        let entries = [CERTIFICATE, KEY].map(|name| self.entry(name));
        self.check_size();
        let certificate = (r#type == TLS_SECRET).then(|| match entries {
            [Some(chain), Some(key)] => {
                let name = CertificateName::of_secret(&self.object.name);
                certificate::read(name, &chain, &key).map(Arc::new)
            }
            [None, _] => Err(absent(CERTIFICATE)),
            [Some(_), None] => Err(absent(KEY)),
        });
        // An API server looks at no certificate. In files it is better to keep the last good one than to serve none.
        if self.admission == Admission::Whole
            && let Some(Err(Unusable { entry, message })) = &certificate
        {
            let at = FieldPath::new("data").child(entry);
            self.found
                .error(&self.object, at, "certificate-unusable", message.clone());
        }
        let credential = self.entry(CREDENTIAL).filter(|it| !it.is_empty());
        let credential = credential.map(|bytes| match HeaderValue::from_bytes(&bytes) {
            Ok(value) => Credential::Value(SecretValue::new(value)),
            Err(_) => Credential::Unfit,
        });
        let filled = |bytes: &Vec<u8>| !bytes.is_empty();
        let authorities = self.entry(AUTHORITIES).filter(filled);
        let revoked = self.entry(REVOKED).filter(filled);
        let secret = metadata.map(|metadata| Secret {
            metadata,
            r#type,
            certificate,
            authorities: authorities.map(|it| certificate::authorities(&it).map(Into::into)),
            revoked: revoked.map(|it| certificate::revocation_lists(&it).map(Into::into)),
            credential,
        });
        self.finish(secret.map(|it| Object::Secret(Arc::new(it))))
    }

    /// What `data` (in base64) or `stringData` (which counts before it) has under this name.
    fn entry(&mut self, name: &'static str) -> Option<Vec<u8>> {
        let of = |field: &str| self.fields.get(field).and_then(|it| it.get(name)).cloned();
        let (plain, encoded) = (of("stringData"), of("data"));
        let (at, expected, read) = match (plain, encoded) {
            (Some(Value::String(text)), _) => return Some(text.into_bytes()),
            (None | Some(Value::Null), None | Some(Value::Null)) => return None,
            (None | Some(Value::Null), Some(Value::String(text))) => {
                let text: String = text.split_ascii_whitespace().collect();
                ("data", "base64", STANDARD.decode(text).ok())
            }
            (None | Some(Value::Null), Some(_)) => ("data", "base64", None),
            (Some(_), _) => ("stringData", "a text", None),
        };
        if read.is_none() {
            self.wrong_type(FieldPath::new(at).child(name), expected);
        }
        read
    }

    fn check_size(&mut self) {
        for field in ["data", "stringData"] {
            let size = match self.fields.get(field) {
                None | Some(Value::Null) => 0,
                Some(Value::Object(entries)) => entries
                    .values()
                    .map(|it| it.as_str().map_or(0, str::len))
                    .sum(),
                Some(_) => {
                    self.wrong_type(FieldPath::new(field), "a mapping");
                    0
                }
            };
            // Base64 takes four letters for three bytes.
            let bytes = if field == "data" { size / 4 * 3 } else { size };
            if bytes > MAX_BYTES {
                let message = format!("Too long: may not be more than {MAX_BYTES} bytes");
                self.found
                    .error(&self.object, FieldPath::new(field), "not-admitted", message);
            }
        }
    }

    fn wrong_type(&mut self, at: FieldPath, expected: &str) {
        let message = format!("it is not {expected}, which is expected here");
        self.found.error(&self.object, at, "wrong-type", message);
    }
}

fn absent(entry: &'static str) -> Unusable {
    let message = format!("a Secret of type {TLS_SECRET} must contain {CERTIFICATE} and {KEY}");
    Unusable { entry, message }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, KeyPair};
    use serde_json::{Value, json};

    use crate::Object;
    use crate::api::secret::Credential;

    fn pair() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["shop.example.com".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn secret(r#type: &str, part: &Value) -> Value {
        let mut secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cert"}, "type": r#type,
        });
        let fields = secret.as_object_mut().unwrap();
        fields.extend(part.as_object().unwrap().clone());
        secret
    }

    #[test]
    fn certificates_come_from_data_and_from_string_data() {
        let (chain, key) = pair();
        let encoded = |text: &str| STANDARD.encode(text);
        // kubectl writes base64 without line breaks, `base64` with them.
        let broken_up = encoded(&chain)
            .as_bytes()
            .chunks(76)
            .map(|it| String::from_utf8_lossy(it).into_owned())
            .collect::<Vec<_>>()
            .join("\n");
        let cases = [
            json!({"data": {"tls.crt": encoded(&chain), "tls.key": encoded(&key)}}),
            json!({"data": {"tls.crt": broken_up, "tls.key": encoded(&key), "ca.crt": ""}}),
            json!({"stringData": {"tls.crt": chain, "tls.key": key}}),
            json!({"data": {"tls.crt": encoded("old"), "tls.key": encoded(&key)}, "stringData": {"tls.crt": chain}}),
        ];
        for case in cases {
            let (object, found) = Object::read(secret("kubernetes.io/tls", &case)).unwrap();
            assert_eq!(found, []);
            let Some(Object::Secret(read)) = object else {
                panic!("a Secret is read as one")
            };
            let certificate = read.certificate.clone().unwrap().unwrap();
            assert_eq!(certificate.name.as_str(), "Secret/default/cert");
            let shown = format!("{read:?}");
            assert!(
                !shown.contains("BEGIN") && !shown.contains(&key[30..60]),
                "{shown}"
            );
        }
    }

    #[test]
    fn what_a_secret_holds_is_never_quoted() {
        let hidden = "c2VjcmV0LXdvcmQ=";
        let tls = "kubernetes.io/tls";
        let cases = [
            (tls, json!({"data": hidden}), "data", "wrong-type"),
            (
                tls,
                json!({"data": {"tls.crt": [hidden], "tls.key": hidden}}),
                "data[\"tls.crt\"]",
                "wrong-type",
            ),
            (
                tls,
                json!({"data": {"tls.crt": "secret word", "tls.key": hidden}}),
                "data[\"tls.crt\"]",
                "wrong-type",
            ),
            (
                tls,
                json!({"stringData": {"tls.crt": 7, "tls.key": hidden}}),
                "stringData[\"tls.crt\"]",
                "wrong-type",
            ),
            (
                tls,
                json!({"data": {"tls.crt": hidden, "tls.key": hidden}}),
                "data[\"tls.crt\"]",
                "certificate-unusable",
            ),
            (
                tls,
                json!({"data": {"tls.crt": hidden}}),
                "data[\"tls.key\"]",
                "certificate-unusable",
            ),
            (tls, json!({}), "data[\"tls.crt\"]", "certificate-unusable"),
            (
                tls,
                json!({"dta": {"tls.crt": hidden}}),
                "dta",
                "unknown-field",
            ),
            (
                "Opaque",
                json!({"stringData": {"a": hidden.repeat(70_000)}}),
                "stringData",
                "not-admitted",
            ),
        ];
        for (r#type, part, field, id) in cases {
            let found = Object::read(secret(r#type, &part)).unwrap_err();
            assert!(
                found
                    .iter()
                    .any(|it| it.field.as_str() == field && it.id == id),
                "{field} {id}: {found:?}"
            );
            let shown = format!("{found:?}");
            assert!(
                !shown.contains("c2Vjc") && !shown.contains("secret word"),
                "{shown}"
            );
        }
    }

    #[test]
    fn what_other_secrets_hold_is_not_kept() {
        let part = json!({"stringData": {"password": "secret word"}});
        let (object, found) = Object::read(secret("Opaque", &part)).unwrap();
        assert_eq!(found, []);
        let shown = format!("{object:?}");
        assert!(
            !shown.contains("secret word") && !shown.contains("password"),
            "{shown}"
        );
    }

    #[test]
    fn unadmitted_secrets_carry_what_is_wrong_with_them() {
        let part = json!({"data": {"tls.crt": "AAAA", "tls.key": "AAAA"}});
        let (object, _) = Object::read_unadmitted(secret("kubernetes.io/tls", &part)).unwrap();
        let Some(Object::Secret(read)) = object else {
            panic!("a Secret is read as one")
        };
        let unusable = read.certificate.clone().unwrap().unwrap_err();
        assert_eq!(unusable.entry, "tls.crt");
    }

    fn opaque(part: &Value) -> Value {
        secret("Opaque", part)
    }

    #[test]
    fn a_credential_comes_from_data_or_string_data() {
        for (part, expected) in [
            (
                json!({"data": {"credential": "QmVhcmVyIGE="}}),
                Some("Bearer a"),
            ),
            (
                json!({"stringData": {"credential": "Bearer b"}}),
                Some("Bearer b"),
            ),
            (
                json!({"data": {"credential": "QmVhcmVyIGE="}, "stringData": {"credential": "Bearer b"}}),
                Some("Bearer b"),
            ),
            (json!({"data": {"credential": ""}}), None),
            (json!({"stringData": {"other": "Bearer a"}}), None),
            (json!({}), None),
        ] {
            let (object, found) = Object::read(opaque(&part)).unwrap();
            assert_eq!(found, []);
            let Some(Object::Secret(read)) = object else {
                panic!("a Secret is read as one")
            };
            let value = read.credential.as_ref().map(|it| match it {
                Credential::Value(value) => value.reveal().to_str().unwrap(),
                Credential::Unfit => panic!("it is a header's value: {part}"),
            });
            assert_eq!(value, expected);
            assert!(!format!("{read:?}").contains("Bearer"), "{read:?}");
        }
        let line = json!({"stringData": {"credential": "Bearer a\n"}});
        let Ok((Some(Object::Secret(read)), _)) = Object::read(opaque(&line)) else {
            panic!("a Secret is read as one")
        };
        assert_eq!(read.credential, Some(Credential::Unfit));
    }

    #[test]
    fn what_a_credential_is_is_never_quoted() {
        let hidden = "c2VjcmV0IHdvcmQ";
        for (part, field) in [
            (json!({"data": hidden}), "data"),
            (json!({"stringData": [hidden]}), "stringData"),
            (json!({"data": {"credential": [hidden]}}), "data.credential"),
            (
                json!({"data": {"credential": "secret word"}}),
                "data.credential",
            ),
            (
                json!({"stringData": {"credential": {"a": hidden}}}),
                "stringData.credential",
            ),
            (json!({"dta": {"credential": hidden}}), "dta"),
        ] {
            let found = Object::read(opaque(&part)).unwrap_err();
            assert_eq!(found[0].field.as_str(), field, "{found:?}");
            let shown = format!("{found:?}");
            assert!(
                !shown.contains("c2Vjc") && !shown.contains("secret word"),
                "{shown}"
            );
        }
    }
}
