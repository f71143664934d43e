//! The path of a connector as the user writes it: `http[s]://[[user]:secret@]host[:port]/connectors/NAME/messages`.

use url::Url;

use crate::secret::Secret;
use crate::send::target::{Address, TargetError};

/// How a target is written.
pub(in crate::send) const FORM: &str = "http://host:port/connectors/NAME/messages";

/// A path that takes messages, over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::send) struct Target {
    /// Without who asks.
    pub(super) url: Url,
    pub(super) login: Login,
}

/// How a sender proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    None,
    /// The `token` of the source.
    Token(Secret),
    /// For a proxy in front of it.
    Basic(String, Secret),
}

impl Target {
    /// Reads the URL.
    ///
    /// # Errors
    /// When it names no host or path, or has parameters.
    pub(in crate::send) fn read(url: &Url) -> Result<Self, TargetError> {
        let address = Address::read(url, url.port_or_known_default().unwrap_or_default(), FORM)?;
        if let Some(parameters) = url.query() {
            let parameter = parameters.to_owned();
            return Err(TargetError::Parameter { parameter, known: "there are none" });
        }
        if url.path() == "/" {
            return Err(TargetError::NoPath(FORM));
        }
        // Only a login with a user comes with the address.
        let token = || crate::send::target::password(url);
        let login = match address.login {
            Some((user, password)) => Login::Basic(user, password),
            None => token()?.map_or(Login::None, Login::Token),
        };
        let mut url = url.clone();
        if url.set_username("").is_err() || url.set_password(None).is_err() {
            return Err(TargetError::NoHost(FORM));
        }
        url.set_fragment(None);
        Ok(Self { url, login })
    }

    /// Who takes the messages, for a message.
    pub(super) fn peer(&self) -> String {
        format!("the server at {}", self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::{Login, Target};
    use crate::secret::Secret;
    use crate::send::target::TargetError;

    #[track_caller]
    fn check(text: &str, url: &str, login: Login) {
        let target = Target::read(&text.parse().unwrap()).unwrap();
        assert_eq!((target.url.as_str(), &target.login), (url, &login), "{text}");
        assert!(!target.peer().contains("s3c"), "{}", target.peer());
    }

    #[test]
    fn a_url_names_the_path_and_who_sends() {
        let path = "http://localhost:8080/connectors/ward/messages";
        check(path, path, Login::None);
        let secret = || Secret::new("s3c/ret".to_owned());
        check("http://:s3c%2Fret@localhost:8080/connectors/ward/messages", path, Login::Token(secret()));
        check(
            "http://ann:s3c%2Fret@localhost:8080/connectors/ward/messages",
            path,
            Login::Basic("ann".to_owned(), secret()),
        );
    }

    #[test]
    fn what_is_missing_or_too_much_is_said() {
        let read = |text: &str| Target::read(&text.parse().unwrap());
        assert!(matches!(read("http://localhost"), Err(TargetError::NoPath(_))));
        assert!(matches!(read("http://localhost/m?split=true"), Err(TargetError::Parameter { .. })));
    }
}
