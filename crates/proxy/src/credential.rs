//! Credentials that a rule or backendRef adds to requests.

use http::HeaderMap;
use weir_plan::Credential;
use weir_plan::features::rate_limit::HeaderNameText;

/// Adds a credential. One that is there already stays, unless the rule says that it is replaced.
pub(crate) fn inject(headers: &mut HeaderMap, credential: &Credential) {
    let Credential {
        header: HeaderNameText(name),
        overwrite,
        value,
    } = credential;
    if *overwrite || !headers.contains_key(name) {
        headers.insert(name, value.reveal().clone());
    }
}
