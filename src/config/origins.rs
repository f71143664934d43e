//! Origins of web pages, as a browser names them in its requests.

use url::{Origin, Url};

use super::section::{Problems, Section};

/// Whose pages may use something from a browser, as `key` says.
pub(super) fn origins(key: &'static str, section: &mut Section, problems: &mut Problems) -> Vec<String> {
    let origins: Vec<String> = section.required(key, Vec::new(), problems);
    for origin in origins.iter().filter(|origin| !is_origin(origin)) {
        let message = format!(
            "`{origin}` is no origin; write `https://app.example.org`, with a port only if the browser shows one, or `*`"
        );
        problems.push(section.problem(key, None, message));
    }
    origins
}

/// Whether this is what a browser sends: scheme, host, and the port where it is not the usual one.
fn is_origin(text: &str) -> bool {
    let origin = Url::parse(text).ok().map(|url| url.origin());
    text == "*"
        || origin.is_some_and(|origin| matches!(origin, Origin::Tuple(..)) && origin.ascii_serialization() == text)
}

#[cfg(test)]
mod tests {
    use super::is_origin;

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for origin in ["https://app.example.org", "http://localhost:3000", "http://127.0.0.1:8080", "*"] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in [
            "app.example.org",
            "https://app.example.org/",
            "https://app.example.org:443",
            "https://App.example.org",
            "null",
            "",
        ] {
            assert!(!is_origin(other), "{other}");
        }
    }
}
