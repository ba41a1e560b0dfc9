//! `tls.clientValidation` and `headers.xForwardedClientCert`: who is let in, and what backends are told of it.

use super::client;
use crate::backend::Backend;
use crate::client::request;
use crate::gateway::{Gateway, route_all};
use crate::tls::client::{Pair, Trust};
use crate::tls::clients::Authority;
use crate::tls::{edge, listener};

/// What a client says of its own certificate.
const SAID: &str = "Hash=0;Subject=\"CN=root\"";

struct World {
    backend: Backend,
    pair: Pair,
    ours: Authority,
    theirs: Authority,
}

impl World {
    fn new() -> Self {
        Self {
            backend: Backend::named("app"),
            pair: Pair::of(&["shop.example.com"]),
            ours: Authority::new(),
            theirs: Authority::new(),
        }
    }

    fn start(&self, settings: &str) -> Gateway {
        Gateway::start(&[
            &edge(&[&listener("https", "", &["cert"])]),
            &self.pair.secret("cert"),
            &self.ours.config_map(),
            &self.backend.yaml("app"),
            &route_all("app"),
            &client("clients", "Gateway edge https", settings),
        ])
    }

    /// Clients without a certificate, with one of the authority, and with one of another.
    fn clients(&self) -> [Trust; 3] {
        let trust = Trust::of(&[&self.pair]);
        let [ours, theirs] = [&self.ours, &self.theirs].map(|it| it.client(&trust, [2020, 2100]));
        [trust, ours, theirs]
    }

    /// The status, and what the backend was told; none: the client is not let in.
    fn ask(&self, gateway: &Gateway, trust: &Trust) -> Option<(u16, Option<String>)> {
        let secured = trust.connect(gateway.address_of(443), "shop.example.com");
        let mut client = secured.ok()?.client();
        let headers = [("x-forwarded-client-cert", SAID)];
        let bytes = request("GET", "shop.example.com", "/", &headers, b"");
        client.try_send(&bytes).ok()?;
        let status = client.try_receive().ok()?.status;
        let last = self.backend.last();
        let told = last.header("x-forwarded-client-cert").map(str::to_owned);
        Some((status, told))
    }
}

#[test]
fn backends_are_told_of_certificates_as_each_mode_has_it() {
    let world = World::new();
    let [none, ours, _] = world.clients();
    let said = || Some(SAID.to_owned());
    // What backends are told of a client without a certificate, whether they hear what one with says, and whether they are
    // told who it is.
    let cases = [
        ("", None, false, false),
        ("mode: Sanitize", None, false, false),
        ("mode: ForwardOnly", None, true, false),
        ("mode: AlwaysForwardOnly", said(), true, false),
        (
            "mode: AppendForward, certDetailsToAdd: [Subject, DNS]",
            None,
            true,
            true,
        ),
        (
            "mode: SanitizeSet, certDetailsToAdd: [Subject, DNS]",
            None,
            false,
            true,
        ),
    ];
    for (mode, without, hears, is_told) in cases {
        let gateway = world.start(&format!(
            "tls: {{clientValidation: {{mode: Request, caCertificateRefs: [{{group: '', kind: ConfigMap, name: ca}}]}}}}, \
             headers: {{xForwardedClientCert: {{{mode}}}}}"
        ));
        assert_eq!(world.ask(&gateway, &none), Some((200, without)), "{mode}");
        let (status, told) = world.ask(&gateway, &ours).expect("it is let in");
        let told = told.unwrap_or_default();
        assert_eq!(status, 200);
        assert_eq!(told.starts_with(SAID), hears, "{mode}: {told}");
        let own = told.strip_prefix(SAID).unwrap_or(&told);
        let own = own.strip_prefix(',').unwrap_or(own);
        let is_own = own.starts_with("Hash=") && own.ends_with(";DNS=client");
        assert_eq!(
            is_own && own.contains(";Subject=\""),
            is_told,
            "{mode}: {told}"
        );
        assert!(is_told || own.is_empty(), "{mode}: {told}");
    }
}

#[test]
fn who_has_no_valid_certificate_is_kept_out_unless_it_is_optional() {
    let world = World::new();
    let clients = world.clients();
    let let_in = |settings: &str| {
        let authority = "caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]";
        let gateway = world.start(&format!(
            "tls: {{clientValidation: {{{authority}{settings}}}}}"
        ));
        clients
            .each_ref()
            .map(|it| world.ask(&gateway, it).map(|(status, _)| status))
    };
    assert_eq!(let_in(""), [None, Some(200), None]);
    assert_eq!(let_in(", optional: true"), [Some(200), Some(200), None]);
    let named =
        |name: &str| format!(", subjectAltNames: {{dnsNames: [{{type: Exact, value: {name}}}]}}");
    assert_eq!(let_in(&named("client")), [None, Some(200), None]);
    assert_eq!(let_in(&named("other")), [None, None, None]);
}
