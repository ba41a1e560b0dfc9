//! The versions and algorithms of TLS that a plan names, as those who speak it have them.

use rustls::crypto::ring::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};
use weir_plan::{CipherSuite, Curve, TlsVersion};

/// Speaks these cipher suites in TLS 1.2, all of those of TLS 1.3, and these curves, in this order.
pub(crate) fn provider(ciphers: &[CipherSuite], curves: &[Curve]) -> CryptoProvider {
    let mut provider = default_provider();
    let newest = |suite: &SupportedCipherSuite| suite.tls13().is_some();
    provider.cipher_suites.retain(newest);
    provider
        .cipher_suites
        .extend(ciphers.iter().copied().map(suite));
    provider.kx_groups = curves.iter().copied().map(group).collect();
    provider
}

/// All versions from the one to the other.
pub(crate) fn versions(min: TlsVersion, max: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    let all = [
        (TlsVersion::V1_2, &version::TLS12),
        (TlsVersion::V1_3, &version::TLS13),
    ];
    let spoken = all.iter().filter(|(it, _)| (min..=max).contains(it));
    spoken.map(|(_, it)| *it).collect()
}

fn suite(cipher: CipherSuite) -> SupportedCipherSuite {
    match cipher {
        CipherSuite::EcdheEcdsaAes128GcmSha256 => {
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
        }
        CipherSuite::EcdheRsaAes128GcmSha256 => cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheEcdsaAes256GcmSha384 => {
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
        }
        CipherSuite::EcdheRsaAes256GcmSha384 => cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheEcdsaChacha20Poly1305 => {
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        }
        CipherSuite::EcdheRsaChacha20Poly1305 => {
            cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        }
    }
}

fn group(curve: Curve) -> &'static dyn SupportedKxGroup {
    match curve {
        Curve::X25519 => kx_group::X25519,
        Curve::P256 => kx_group::SECP256R1,
        Curve::P384 => kx_group::SECP384R1,
    }
}
