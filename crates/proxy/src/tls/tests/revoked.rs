//! Certificates of clients that are in a list of revoked ones.

use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber, date_time_ymd,
};
use weir_plan::{ClientValidation, Der, RevocationList};

use super::clients::{Issuer, Made, authority, below, lets_in, showing, validation};
use super::pair;

fn revoking(issuer: &Issuer, serials: &[u64], until: i32) -> RevocationList {
    let revoked = serials.iter().map(|it| RevokedCertParams {
        serial_number: SerialNumber::from(*it),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = params.signed_by(issuer).expect("it can be signed");
    RevocationList {
        fingerprint: "".into(),
        list: Der(list.der().as_ref().into()),
    }
}

#[test]
fn what_is_revoked_lets_nobody_in() {
    let (tls, client) = pair();
    let ours = authority("ours");
    let between = below(&ours, "between", [2000, 2100]);
    let serial = |serial| Made {
        serial,
        ..Made::new()
    };
    let direct = showing(&client, &ours, &[], &serial(7));
    let other = showing(&client, &ours, &[], &serial(8));
    let chained = showing(&client, &between, &[&between], &serial(7));
    // (what is asked, and who of the three is let in)
    let cases = [
        ("no list", vec![], false, [true, true, true]),
        (
            "one is revoked; who signed the other, says nothing of it",
            vec![revoking(&ours, &[7], 2100)],
            false,
            [false, true, false],
        ),
        (
            "all lists, none of them in them",
            vec![revoking(&ours, &[1], 2100), revoking(&between, &[1], 2100)],
            false,
            [true, true, true],
        ),
        (
            "the authority between is revoked",
            vec![revoking(&ours, &[99], 2100), revoking(&between, &[], 2100)],
            false,
            [true, true, false],
        ),
        (
            "it is, and only clients are looked up",
            vec![revoking(&ours, &[99], 2100), revoking(&between, &[], 2100)],
            true,
            [true, true, true],
        ),
        (
            "its client is",
            vec![revoking(&between, &[7], 2100)],
            true,
            [false, false, false],
        ),
        (
            "the list is too old to be told anything by",
            vec![revoking(&ours, &[1], 2021)],
            false,
            [false, false, false],
        ),
    ];
    for (name, revoked, revoked_leaf_only, expected) in cases {
        let asked = ClientValidation {
            revoked,
            revoked_leaf_only,
            ..validation(&[&ours])
        };
        let let_in = [&direct, &other, &chained].map(|it| lets_in(&tls, asked.clone(), it));
        assert_eq!(let_in, expected, "{name}");
    }
    // Being expired does not hide that it is revoked.
    let past = Made {
        years: [2001, 2021],
        ..serial(7)
    };
    let past = showing(&client, &ours, &[], &past);
    for (serials, expected) in [(&[7][..], false), (&[8], true)] {
        let asked = ClientValidation {
            allow_expired: true,
            revoked: vec![revoking(&ours, serials, 2100)],
            ..validation(&[&ours])
        };
        assert_eq!(lets_in(&tls, asked, &past), expected, "{serials:?}");
    }
}
