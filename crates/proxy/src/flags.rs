//! Response flags: short names, Envoy's, for what happened to a request, in the access log and in metrics.

use std::fmt;

use smallvec::SmallVec;

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        /// What happened to a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Flag {
            $($(#[$doc])* $name,)*
        }

        impl Flag {
            /// Every flag.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its short name.
            pub(crate) const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// Its long name.
            pub(crate) const fn long(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }
        }
    };
}

flags! {
    /// The gateway says that it is not well: it is draining.
    FailedLocalHealthCheck "LH",
    /// No endpoint is there.
    NoHealthyUpstream "UH",
    /// The request or an attempt took too long.
    UpstreamRequestTimeout "UT",
    /// No connection to an endpoint could be made.
    UpstreamConnectionFailure "UF",
    /// An endpoint closed the connection.
    UpstreamConnectionTermination "UC",
    /// An endpoint reset the stream.
    UpstreamRemoteReset "UR",
    /// A circuit breaker was open.
    UpstreamOverflow "UO",
    /// No route fits.
    NoRouteFound "NR",
    /// A delay was injected.
    DelayInjected "DI",
    /// An abort was injected.
    FaultInjected "FI",
    /// A rate limit refused it.
    RateLimited "RL",
    /// The client went away.
    DownstreamConnectionTermination "DC",
    /// All retries were used up.
    UpstreamRetryLimitExceeded "URX",
    /// Nothing moved for too long.
    StreamIdleTimeout "SI",
    /// The client sent something that is not proper HTTP.
    DownstreamProtocolError "DPE",
    /// An endpoint sent something that is not proper HTTP.
    UpstreamProtocolError "UPE",
    /// The backend that the route names does not exist.
    NoClusterFound "NC",
    /// The process had no room for it.
    OverloadManagerTerminated "OM",
}

/// The flags of one request, in the order in which things happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(SmallVec<[Flag; 4]>);

impl Flags {
    /// Whether nothing happened that has a flag.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a flag, once.
    pub(crate) fn add(&mut self, flag: Flag) {
        if !self.0.contains(&flag) {
            self.0.push(flag);
        }
    }

    /// In order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Flag> {
        self.0.iter().copied()
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("-");
        }
        for (place, flag) in self.iter().enumerate() {
            f.write_str(if place > 0 { "," } else { "" })?;
            f.write_str(flag.text())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_listed_once_each_as_they_came() {
        let mut flags = Flags::default();
        assert_eq!(flags.to_string(), "-");
        for flag in [
            Flag::UpstreamRetryLimitExceeded,
            Flag::UpstreamConnectionFailure,
            Flag::UpstreamRetryLimitExceeded,
        ] {
            flags.add(flag);
        }
        assert_eq!(flags.to_string(), "URX,UF");
    }
}
