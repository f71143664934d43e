//! Which FHIR server a connector delivers to, and how the connector proves who it is.
//!
//! There is one way to prove it at a time, and a secret never crosses a network in the clear: both are checked here, so
//! that a mistake shows its line instead of an answer of 401 at night.

use url::{Host, Url};

use super::raw::Place;
use super::section::{FromRaw, Problems, Section};
use super::tls::tls;
use super::{Authentication, ClientAuthentication, FhirTarget, OAuth2Config};
use crate::secret::Secret;

/// Bundles on their way at a time at most: as many lanes are kept, each with a connection of its own.
const BUNDLES_IN_FLIGHT_MAX: usize = 64;
/// Stands in for an address after a problem with it was noted.
const NO_URL: &str = "https://localhost";

pub(super) fn fhir_target(mut section: Section, problems: &mut Problems) -> FhirTarget {
    let url: Option<Url> = section.optional("url", problems);
    let authentication = authentication(&mut section, problems);
    let tls_section = section.optional_section("tls", problems);
    let has_tls = tls_section.as_ref().map(Section::place);
    let tls = tls_section.map(|section| tls(section, problems)).unwrap_or_default();
    if let Some(url) = &url {
        let secret = authentication != Authentication::None;
        if let Some(message) = url_problem(url, secret) {
            problems.push(section.problem("url", None, message));
        }
    }
    if let Some(place) = has_tls
        && !url.iter().chain(authentication.token_url()).any(|url| url.scheme() == "https")
    {
        let message = "needs an https:// address in `url`; without one nothing is encrypted".to_owned();
        problems.push(section.problem("tls", Some(place), message));
    }
    let target = FhirTarget {
        url,
        authentication,
        tls,
        bundle_entries_max: section.required("bundle_entries_max", 1, problems),
        bundle_bytes_max: section.required("bundle_bytes_max", 1, problems),
        bundles_in_flight_max: bundles_in_flight_max(&mut section, problems),
        timeout: section.required("timeout", std::time::Duration::ZERO, problems),
    };
    section.finish(problems);
    target
}

fn bundles_in_flight_max(section: &mut Section, problems: &mut Problems) -> usize {
    let bundles = section.required("bundles_in_flight_max", 1, problems);
    if bundles > BUNDLES_IN_FLIGHT_MAX {
        let message = format!("expected at most {BUNDLES_IN_FLIGHT_MAX}, found {bundles}");
        problems.push(section.problem("bundles_in_flight_max", None, message));
    }
    bundles
}

/// What is wrong with an address that is given credentials, or has some.
fn url_problem(url: &Url, secret: bool) -> Option<String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Some("holds a user name; give `username` and `password` instead, which are never shown".to_owned());
    }
    let in_the_clear = secret && url.scheme() == "http" && !is_loopback(url);
    in_the_clear.then(|| {
        "would carry credentials in the clear; use an https:// address, or a loopback one such as 127.0.0.1".to_owned()
    })
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The one way that is given; with several, the first, and a problem for each of the others.
fn authentication(section: &mut Section, problems: &mut Problems) -> Authentication {
    let mut ways: Vec<(&'static str, Option<Place>, Authentication)> = Vec::new();
    if let Some(token) = token(section, problems) {
        ways.push(("token", None, Authentication::Token(token)));
    }
    if let Some((key, basic)) = basic(section, problems) {
        ways.push((key, None, basic));
    }
    if let Some(section) = section.optional_section("oauth2", problems) {
        ways.push(("oauth2", Some(section.place()), Authentication::OAuth2(oauth2(section, problems))));
    }
    let mut ways = ways.into_iter();
    let Some((first, _, authentication)) = ways.next() else { return Authentication::None };
    for (key, place, _) in ways {
        let message = format!(
            "cannot be combined with `{first}`; give one of `token`, `username` with `password`, or `oauth2`, and leave out \
             the others"
        );
        problems.push(section.problem(key, place, message));
    }
    authentication
}

fn token(section: &mut Section, problems: &mut Problems) -> Option<Secret> {
    let token: Secret = section.optional("token", problems)?;
    let sendable = !token.expose().is_empty() && token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    if !sendable {
        let message =
            "is empty, or holds blanks or characters that no header can carry; give the token alone, without \
                       \"Bearer\""
                .to_owned();
        problems.push(section.problem("token", None, message));
    }
    Some(token)
}

/// A user with a password, and the key that names it.
fn basic(section: &mut Section, problems: &mut Problems) -> Option<(&'static str, Authentication)> {
    let username: Option<String> = section.optional("username", problems);
    let password: Option<Secret> = section.optional("password", problems);
    match (username, password) {
        (None, None) => None,
        (None, Some(_)) => {
            problems.push(section.problem("password", None, "needs a `username`".to_owned()));
            None
        }
        (Some(_), None) => {
            problems.push(section.problem("username", None, "needs a `password`".to_owned()));
            None
        }
        (Some(username), Some(password)) => {
            if username.is_empty() || username.contains(':') || username.chars().any(char::is_control) {
                let message =
                    "is empty, or holds a colon or a control character, which basic authentication cannot carry";
                problems.push(section.problem("username", None, message.to_owned()));
            }
            Some(("username", Authentication::Basic { username, password }))
        }
    }
}

/// Where tokens come from, as a section says.
pub(super) fn oauth2(mut section: Section, problems: &mut Problems) -> OAuth2Config {
    #[expect(clippy::expect_used, reason = "a constant")]
    let no_url = || Url::parse(NO_URL).expect("a URL");
    let oauth2 = OAuth2Config {
        token_url: section.required("token_url", no_url(), problems),
        client_id: section.required("client_id", String::new(), problems),
        client_secret: section.required("client_secret", Secret::new(String::new()), problems),
        client_authentication: section
            .optional("client_authentication", problems)
            .unwrap_or(ClientAuthentication::Basic),
        scope: section.optional("scope", problems),
        audience: section.optional("audience", problems),
        resource: section.optional("resource", problems),
    };
    if let Some(message) = url_problem(&oauth2.token_url, true) {
        problems.push(section.problem("token_url", None, message));
    }
    for (key, text) in [("client_id", oauth2.client_id.as_str()), ("client_secret", oauth2.client_secret.expose())] {
        if text.is_empty() && section.was_given(key) {
            problems.push(section.problem(key, None, "is empty".to_owned()));
        }
    }
    section.finish(problems);
    oauth2
}

impl Authentication {
    fn token_url(&self) -> Option<&Url> {
        match self {
            Self::OAuth2(oauth2) => Some(&oauth2.token_url),
            Self::None | Self::Token(_) | Self::Basic { .. } => None,
        }
    }
}

impl FromRaw for Url {
    const EXPECTED: &'static str = "an http:// or https:// address";
    fn from_content(content: &super::raw::Content) -> Option<Self> {
        let url: Self = String::from_content(content)?.parse().ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
    }
}
