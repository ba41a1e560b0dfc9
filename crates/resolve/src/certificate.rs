//! From the PEM texts of a Secret to a certificate that can be shown to clients, or to what is wrong with them.
//!
//! Messages never quote what they are about: it may be a key.

use std::sync::Arc;

use ring::digest;
use rustls::RootCertStore;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use weir_plan::{Authority, Certificate, CertificateName, Der, PrivateKey, RevocationList};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_crl;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::api::secret::Unusable;

/// The names that Secrets have for the two.
pub(crate) const CERTIFICATE: &str = "tls.crt";
pub(crate) const KEY: &str = "tls.key";
/// Certificates of a chain that are read.
const MAX_CHAIN: usize = 16;
/// Certificates of authorities, and lists of revoked ones, that are read from one text.
const MAX_AUTHORITIES: usize = 100;
/// Host names of a certificate that are read.
const MAX_HOSTNAMES: usize = 1_000;

/// Reads a chain, the server's own certificate first, and the key that belongs to it.
pub(crate) fn read(
    name: CertificateName,
    chain: &[u8],
    key: &[u8],
) -> Result<Certificate, Unusable> {
    let in_certificate = |message: String| Unusable {
        entry: CERTIFICATE,
        message,
    };
    let in_key = |message: &str| Unusable {
        entry: KEY,
        message: message.to_owned(),
    };
    let chain = all(chain, MAX_CHAIN).map_err(in_certificate)?;
    let facts = Facts::of(&chain[0]).map_err(in_certificate)?;
    let key = self::key(key).map_err(in_key)?;
    let signing = any_supported_type(&key).map_err(|_| {
        in_key("its private key cannot be used: use RSA of 2048 to 4096 bits, ECDSA P-256 or P-384, or Ed25519")
    })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(in_key(
                "the private key does not belong to the certificate in tls.crt",
            ));
        }
        Err(_) => {
            return Err(in_certificate(
                "its first certificate is not one of a server (X.509 version 3)".to_owned(),
            ));
        }
    }
    let Facts {
        hostnames,
        not_before,
        not_after,
    } = facts;
    Ok(Certificate {
        name,
        fingerprints: certified.cert.iter().map(|it| fingerprint(it)).collect(),
        hostnames,
        not_before,
        not_after,
        chain: certified
            .cert
            .iter()
            .map(|it| Der(it.as_ref().into()))
            .collect(),
        key: PrivateKey(key.secret_der().into()),
    })
}

/// Reads the certificates of authorities.
pub(crate) fn authorities(pem: &[u8]) -> Result<Vec<Authority>, String> {
    let all = self::all(pem, MAX_AUTHORITIES)?.into_iter().enumerate();
    let read = all.map(|(index, it)| {
        let mut roots = RootCertStore::empty();
        match roots.add(it.clone()) {
            Ok(()) => Ok(Authority {
                fingerprint: fingerprint(&it),
                certificate: Der(it.as_ref().into()),
            }),
            Err(_) => Err(format!(
                "certificate {} cannot be trusted as it is",
                index + 1
            )),
        }
    });
    read.collect()
}

/// Reads lists of revoked certificates.
pub(crate) fn revocation_lists(pem: &[u8]) -> Result<Vec<RevocationList>, String> {
    let mut lists = Vec::new();
    for list in CertificateRevocationListDer::pem_slice_iter(pem) {
        let number = lists.len() + 1;
        if number > MAX_AUTHORITIES {
            return Err(format!("there are more than {MAX_AUTHORITIES} lists"));
        }
        let list = list.ok().filter(|it| parse_x509_crl(it).is_ok());
        let list = list.ok_or_else(|| format!("list {number} of its PEM text is broken"))?;
        lists.push(RevocationList {
            fingerprint: fingerprint(&list),
            list: Der(list.as_ref().into()),
        });
    }
    if lists.is_empty() {
        return Err("there is no list in PEM (-----BEGIN X509 CRL-----)".to_owned());
    }
    Ok(lists)
}

/// All certificates of a PEM text, which are at least one.
fn all(pem: &[u8], max: usize) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let number = chain.len() + 1;
        if number > max {
            return Err(format!("there are more than {max} certificates"));
        }
        let broken = || format!("certificate {number} of its PEM text is broken");
        let certificate = certificate.map_err(|_| broken())?;
        if X509Certificate::from_der(&certificate).is_err() {
            return Err(broken());
        }
        chain.push(certificate);
    }
    if chain.is_empty() {
        return Err("there is no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    Ok(chain)
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, &'static str> {
    let has = |text: &str| pem.windows(text.len()).any(|it| it == text.as_bytes());
    if has("BEGIN ENCRYPTED PRIVATE KEY") || has("Proc-Type: 4,ENCRYPTED") {
        return Err(
            "its private key is encrypted, and there is nobody to ask: decrypt it, as with `openssl pkey`",
        );
    }
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| "there is no private key in PEM (-----BEGIN PRIVATE KEY-----)")
}

/// What a certificate says of itself.
struct Facts {
    hostnames: Vec<Arc<str>>,
    not_before: i64,
    not_after: i64,
}

impl Facts {
    fn of(certificate: &[u8]) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(certificate)
            .map_err(|_| "its first certificate is broken".to_owned())?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map_or(&[][..], |it| &it.value.general_names);
        let hostnames = names.iter().filter_map(|name| {
            let GeneralName::DNSName(name) = name else {
                return None;
            };
            Some(Arc::from(name.to_ascii_lowercase()))
        });
        let validity = certificate.validity();
        Ok(Self {
            hostnames: hostnames.take(MAX_HOSTNAMES).collect(),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }
}

fn fingerprint(certificate: &[u8]) -> Arc<str> {
    let hash = digest::digest(&digest::SHA256, certificate);
    let digits = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
    use weir_plan::NamespacedName;

    fn made(algorithm: &'static SignatureAlgorithm, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names = names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key);
        (certificate.unwrap().pem(), key.serialize_pem())
    }

    fn read(chain: &str, key: &str) -> Result<Certificate, Unusable> {
        let name = CertificateName::of_secret(&NamespacedName::new("default", "cert"));
        super::read(name, chain.as_bytes(), key.as_bytes())
    }

    #[test]
    fn certificates_of_all_sorts_of_keys_are_read() {
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
        ] {
            let (chain, key) = made(algorithm, &["Shop.example.com", "*.example.org"]);
            let read = read(&chain, &key).unwrap();
            assert_eq!(
                read.hostnames,
                ["shop.example.com".into(), "*.example.org".into()]
            );
            assert_eq!((read.chain.len(), read.fingerprints[0].len()), (1, 64));
            assert!(read.not_before < read.not_after);
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_without_quoting_it() {
        let (chain, key) = made(&rcgen::PKCS_ECDSA_P256_SHA256, &["a.example.com"]);
        let (other, other_key) = made(&rcgen::PKCS_ED25519, &["b.example.com"]);
        let broken = chain.replacen("MII", "AAA", 1);
        let encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let long = chain.repeat(MAX_CHAIN + 1);
        let cases = [
            (chain.as_str(), other_key.as_str(), KEY, "does not belong"),
            (&other, &key, KEY, "does not belong"),
            (&chain, &chain, KEY, "no private key"),
            (&chain, "", KEY, "no private key"),
            (&chain, encrypted, KEY, "encrypted"),
            (&key, &key, CERTIFICATE, "no certificate"),
            ("", &key, CERTIFICATE, "no certificate"),
            (&broken, &key, CERTIFICATE, "certificate 1"),
            (
                &chain[..chain.len() / 2],
                &key,
                CERTIFICATE,
                "certificate 1",
            ),
            (&long, &key, CERTIFICATE, "more than 16"),
        ];
        for (chain, key, entry, says) in cases {
            let wrong = read(chain, key).unwrap_err();
            assert_eq!(wrong.entry, entry, "{}", wrong.message);
            assert!(wrong.message.contains(says), "{}", wrong.message);
        }
        let chained = read(&format!("{chain}{other}"), &key).unwrap();
        assert_eq!(chained.chain.len(), 2);
    }
}
