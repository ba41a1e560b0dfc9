//! The session persistence of a rule, read into the plan's form.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use weir_plan::features::rate_limit::HeaderNameText;
use weir_plan::{RuleName, SessionCarrier, SessionPersistence};

use super::rules::Invalid;
use crate::api::scalar::parse_duration;
use gateway_api::experimental::httproutes as api;

/// Session persistence as a rule says it.
#[derive(Debug)]
pub(crate) struct RuleSession {
    /// The name of the cookie or header. None: it is named after the rule.
    name: Option<Arc<str>>,
    by_header: bool,
    permanent: bool,
    absolute_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
}

/// Reads what a rule says.
pub(crate) fn read(it: &api::HttpRouteRulesSessionPersistence) -> Result<RuleSession, Invalid> {
    use api::HttpRouteRulesSessionPersistenceCookieConfigLifetimeType as Lifetime;
    let api::HttpRouteRulesSessionPersistence {
        absolute_timeout,
        cookie_config,
        idle_timeout,
        session_name,
        r#type,
    } = it;
    let bad = |why: String| Invalid::value(format!("sessionPersistence: {why}"));
    let timeout = |field: &str, text: Option<&str>| match text {
        None => Ok(None),
        Some(text) => match parse_duration(text).filter(|it| it.as_secs() > 0) {
            Some(timeout) => Ok(Some(timeout)),
            None => Err(bad(format!(
                "{field} {text:?} is no duration of a second or more"
            ))),
        },
    };
    let absolute_timeout = timeout("absoluteTimeout", absolute_timeout.as_deref())?;
    let idle_timeout = timeout("idleTimeout", idle_timeout.as_deref())?;
    let permanent = cookie_config
        .as_ref()
        .is_some_and(|it| it.lifetime_type == Some(Lifetime::Permanent));
    if permanent && absolute_timeout.is_none() {
        // The API server's words.
        let why = "AbsoluteTimeout must be specified when cookie lifetimeType is Permanent";
        return Err(bad(why.to_owned()));
    }
    let name = session_name.as_deref().filter(|it| !it.is_empty());
    // Names of cookies and of headers are made of the same characters.
    if let Some(name) = name.filter(|it| HeaderName::from_bytes(it.as_bytes()).is_err()) {
        return Err(bad(format!(
            "sessionName {name:?} is no name of a cookie or header"
        )));
    }
    Ok(RuleSession {
        name: name.map(Into::into),
        by_header: *r#type == Some(api::HttpRouteRulesSessionPersistenceType::Header),
        permanent,
        absolute_timeout,
        idle_timeout,
    })
}

impl RuleSession {
    /// As the plan has it.
    pub(crate) fn of_rule(&self, rule: &RuleName) -> SessionPersistence {
        let Self {
            name,
            by_header,
            permanent,
            absolute_timeout,
            idle_timeout,
        } = self;
        let own = || rule.to_string().to_lowercase().replace('/', "-").into();
        let name = name.clone().unwrap_or_else(own);
        let header = HeaderName::from_bytes(name.as_bytes()).ok();
        let carrier = match header.filter(|_| *by_header) {
            Some(header) => SessionCarrier::Header(HeaderNameText(header)),
            None => SessionCarrier::Cookie {
                name,
                permanent: *permanent,
            },
        };
        SessionPersistence {
            carrier,
            absolute_timeout: *absolute_timeout,
            idle_timeout: *idle_timeout,
        }
    }
}
