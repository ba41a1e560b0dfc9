//! The certificate that a client has shown, as `x-forwarded-client-cert` tells of it: read once per connection.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use weir_plan::{CertDetail, ListenerTls, XForwardedClientCert};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

pub(crate) const X_FORWARDED_CLIENT_CERT: HeaderName =
    HeaderName::from_static("x-forwarded-client-cert");
/// The base64 characters of a line in PEM.
const PEM_LINE: usize = 64;

/// A client's certificate.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    /// The chain as it came, the client's own certificate first.
    chain: Vec<CertificateDer<'static>>,
    /// SHA-256 of the client's own, in hexadecimal digits.
    hash: String,
    /// Whom it is for, in the form of RFC 2253.
    subject: String,
    uris: Vec<String>,
    hostnames: Vec<String>,
    /// The certificate, and the chain, as PEM in URL encoding, once somebody asks.
    encoded: OnceLock<String>,
    encoded_chain: OnceLock<String>,
}

impl PartialEq for ClientCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain
    }
}

impl Eq for ClientCertificate {}

impl ClientCertificate {
    /// What a client has shown. None: nothing. What cannot be read of it is left out.
    pub(crate) fn new(chain: Option<&[CertificateDer<'_>]>) -> Option<Arc<Self>> {
        let chain = chain?;
        let own = chain.first()?;
        let parsed = X509Certificate::from_der(own).ok().map(|(_, it)| it);
        let (uris, hostnames) = parsed.as_ref().map(names).unwrap_or_default();
        Some(Arc::new(Self {
            hash: hexadecimal(digest(&SHA256, own).as_ref()),
            subject: parsed.map_or_else(String::new, |it| subject(it.subject())),
            uris,
            hostnames,
            chain: chain.iter().map(|it| it.clone().into_owned()).collect(),
            encoded: OnceLock::new(),
            encoded_chain: OnceLock::new(),
        }))
    }

    /// What is told of it, in Envoy's form. `by`: the URIs of the certificate that the listener has shown.
    fn told(&self, details: &[CertDetail], by: &[String]) -> String {
        let mut told = String::new();
        let mut tell = |key: &str, value: &str, quoted: bool| {
            let (separator, quote) = (
                if told.is_empty() { "" } else { ";" },
                if quoted { "\"" } else { "" },
            );
            // Writing into a text does not fail.
            let _ = write!(told, "{separator}{key}={quote}{value}{quote}");
        };
        for uri in by {
            tell("By", uri, false);
        }
        tell("Hash", &self.hash, false);
        let has = |detail| details.contains(&detail);
        if has(CertDetail::Cert) {
            let encoded = || url_encoded(&pem(&self.chain[..1]));
            tell("Cert", self.encoded.get_or_init(encoded), true);
        }
        if has(CertDetail::Chain) {
            let encoded = || url_encoded(&pem(&self.chain));
            tell("Chain", self.encoded_chain.get_or_init(encoded), true);
        }
        if has(CertDetail::Subject) {
            tell("Subject", &self.subject, true);
        }
        if has(CertDetail::Uri) {
            if self.uris.is_empty() {
                tell("URI", "", false);
            }
            for uri in &self.uris {
                tell("URI", uri, false);
            }
        }
        if has(CertDetail::Dns) {
            for hostname in &self.hostnames {
                tell("DNS", hostname, false);
            }
        }
        told
    }
}

/// Makes `x-forwarded-client-cert` what a listener wants it to be.
pub(crate) fn forward(
    how: &XForwardedClientCert,
    shown: Option<&ClientCertificate>,
    by: &[String],
    headers: &mut HeaderMap,
) {
    let name = X_FORWARDED_CLIENT_CERT;
    match (how, shown) {
        (XForwardedClientCert::AlwaysForwardOnly, _)
        | (XForwardedClientCert::ForwardOnly, Some(_)) => {}
        (XForwardedClientCert::AppendForward(details), Some(shown)) => {
            let mut whole = Vec::new();
            for value in headers.get_all(&name) {
                whole.extend_from_slice(value.as_bytes());
                whole.push(b',');
            }
            whole.extend_from_slice(shown.told(details, by).as_bytes());
            set(headers, &whole);
        }
        (XForwardedClientCert::SanitizeSet(details), Some(shown)) => {
            set(headers, shown.told(details, by).as_bytes());
        }
        (
            XForwardedClientCert::Sanitize
            | XForwardedClientCert::ForwardOnly
            | XForwardedClientCert::AppendForward(_)
            | XForwardedClientCert::SanitizeSet(_),
            _,
        ) => {
            headers.remove(&name);
        }
    }
}

/// A name in a certificate that no header can carry leaves the client without the header.
fn set(headers: &mut HeaderMap, value: &[u8]) {
    match HeaderValue::from_bytes(value) {
        Ok(value) => drop(headers.insert(X_FORWARDED_CLIENT_CERT, value)),
        Err(_) => drop(headers.remove(X_FORWARDED_CLIENT_CERT)),
    }
}

/// The URIs of the certificate that a listener shows, of the first where it has several.
pub(crate) fn shown_by(tls: Option<&ListenerTls>) -> Vec<String> {
    let first = tls.and_then(|it| it.certificates.first());
    let der = first.and_then(|it| it.chain.first());
    let parsed = der.and_then(|it| X509Certificate::from_der(&it.0).ok());
    parsed.map_or_else(Vec::new, |(_, it)| names(&it).0)
}

/// The URIs and the host names in a certificate.
fn names(certificate: &X509Certificate<'_>) -> (Vec<String>, Vec<String>) {
    let (mut uris, mut hostnames) = (Vec::new(), Vec::new());
    let extension = certificate.subject_alternative_name().ok().flatten();
    for name in extension.iter().flat_map(|it| &it.value.general_names) {
        // The kinds of names are not ours.
        if let GeneralName::URI(uri) = name {
            uris.push((*uri).to_owned());
        } else if let GeneralName::DNSName(hostname) = name {
            hostnames.push((*hostname).to_owned());
        }
    }
    (uris, hostnames)
}

/// A name as RFC 2253 writes it: what is most specific first.
fn subject(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (place, part) in parts.iter().rev().enumerate() {
        text.push_str(if place > 0 { "," } else { "" });
        for (place, attribute) in part.iter().enumerate() {
            text.push_str(if place > 0 { "+" } else { "" });
            let kind = attribute.attr_type();
            match short_name(&kind.to_id_string()) {
                Some(short) => text.push_str(short),
                None => text.push_str(&kind.to_id_string()),
            }
            text.push('=');
            match attribute.as_str() {
                Ok(value) => escape(value, &mut text),
                Err(_) => {
                    text.push('#');
                    text.push_str(&hexadecimal(attribute.as_slice()).to_uppercase());
                }
            }
        }
    }
    text
}

fn short_name(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "GN",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

/// Escapes what means something in a name, and what is no printable ASCII.
fn escape(value: &str, text: &mut String) {
    let last = value.len().saturating_sub(1);
    for (place, byte) in value.bytes().enumerate() {
        let at_an_end = place == 0 || place == last;
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' ' if at_an_end => text.push_str("\\ "),
            b'#' if place == 0 => text.push_str("\\#"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\{byte:02X}")),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn pem(chain: &[CertificateDer<'_>]) -> String {
    let mut pem = String::new();
    for certificate in chain {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(certificate);
        for line in encoded.as_bytes().chunks(PEM_LINE) {
            pem.extend(line.iter().map(|&byte| char::from(byte)));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

/// What PEM has that a URL encodes.
fn url_encoded(pem: &str) -> String {
    let mut encoded = String::with_capacity(pem.len() + pem.len() / 16);
    for letter in pem.chars() {
        match letter {
            '\n' => encoded.push_str("%0A"),
            ' ' => encoded.push_str("%20"),
            '+' => encoded.push_str("%2B"),
            '/' => encoded.push_str("%2F"),
            '=' => encoded.push_str("%3D"),
            other => encoded.push(other),
        }
    }
    encoded
}
