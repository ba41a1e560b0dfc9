//! Reads Secrets by hand: what is said about one never quotes what it holds, as the general reader does of wrong types.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use serde_json::Value;
use weir_plan::SecretValue;

use super::Reader;
use crate::api::secret::{CREDENTIAL, Credential, Secret};
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

impl Reader {
    /// A Secret: the credential in it, if there is one. Everything else in it is forgotten.
    pub(super) fn secret(mut self) -> Reading {
        self.prepare();
        let metadata = self.metadata();
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
        for field in ["data", "stringData"] {
            let of = self.fields.get(field);
            if of.is_some_and(|it| !it.is_object() && !it.is_null()) {
                self.wrong_type(FieldPath::new(field), "a mapping");
            }
        }
        let credential = self.entry(CREDENTIAL).filter(|it| !it.is_empty());
        let credential = credential.map(|bytes| match HeaderValue::from_bytes(&bytes) {
            Ok(value) => Credential::Value(SecretValue::new(value)),
            Err(_) => Credential::Unfit,
        });
        let secret = metadata.map(|metadata| Secret {
            metadata,
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

    fn wrong_type(&mut self, at: FieldPath, expected: &str) {
        let message = format!("it is not {expected}, which is expected here");
        self.found.error(&self.object, at, "wrong-type", message);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::Object;
    use crate::api::secret::Credential;

    fn secret(part: &Value) -> Value {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "type": "Opaque"});
        let fields = secret.as_object_mut().unwrap();
        fields.extend(part.as_object().unwrap().clone());
        secret
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
            let (object, found) = Object::read(secret(&part)).unwrap();
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
        let Ok((Some(Object::Secret(read)), _)) = Object::read(secret(&line)) else {
            panic!("a Secret is read as one")
        };
        assert_eq!(read.credential, Some(Credential::Unfit));
    }

    #[test]
    fn what_a_secret_holds_is_never_quoted() {
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
            let found = Object::read(secret(&part)).unwrap_err();
            assert_eq!(found[0].field.as_str(), field, "{found:?}");
            let shown = format!("{found:?}");
            assert!(
                !shown.contains("c2Vjc") && !shown.contains("secret word"),
                "{shown}"
            );
        }
    }
}
