//! The token in use: fetched once for all who need it, and anew shortly before it expires.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::HeaderValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::super::error::TokenError;

/// How long before its end a token is no longer used, so that it does not expire on the way; half of its life if that is
/// less.
const EXPIRY_MARGIN_MAX: Duration = Duration::from_secs(60);
/// Longest time a token is used, whatever is said about it.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A token as an endpoint gives it.
#[derive(Debug)]
pub(super) struct Granted {
    /// The header that carries it.
    pub(super) header: HeaderValue,
    /// How long it is good for; `None` when the endpoint does not say, and the server's refusal tells.
    pub(super) lifetime: Option<Duration>,
}

/// The token in use, if any.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Locked while a token is fetched: those who need one wait for it.
    held: Mutex<Held>,
    /// Fetches that ended, well or not. Written under the lock, read before it.
    fetches: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    token: Option<Token>,
    /// How the latest fetch failed, if it did.
    failure: Option<Arc<TokenError>>,
}

#[derive(Debug)]
struct Token {
    header: HeaderValue,
    usable_until: Instant,
}

impl Tokens {
    /// The token in use, or a fresh one. Of many who ask at once, one fetches, and all get what it got.
    ///
    /// # Errors
    /// When the fetch fails.
    pub(super) async fn get(
        &self,
        fetch: impl AsyncFnOnce() -> Result<Granted, TokenError>,
    ) -> Result<HeaderValue, Arc<TokenError>> {
        let fetches_before = self.fetches.load(Ordering::Acquire);
        let mut held = self.held.lock().await;
        if let Some(token) = held.token.as_ref().filter(|token| Instant::now() < token.usable_until) {
            return Ok(token.header.clone());
        }
        let waited_for_a_fetch = self.fetches.load(Ordering::Acquire) != fetches_before;
        if let Some(failure) = held.failure.as_ref().filter(|_| waited_for_a_fetch) {
            return Err(Arc::clone(failure));
        }
        let fetched = fetch().await;
        self.fetches.fetch_add(1, Ordering::Release);
        match fetched {
            Ok(granted) => {
                let header = granted.header.clone();
                *held = Held { token: Some(Token::from(granted)), failure: None };
                Ok(header)
            }
            Err(error) => {
                let failure = Arc::new(error);
                *held = Held { token: None, failure: Some(Arc::clone(&failure)) };
                Err(failure)
            }
        }
    }

    /// Forgets a token, unless it was replaced already.
    pub(super) async fn forget(&self, refused: &HeaderValue) {
        let mut held = self.held.lock().await;
        if held.token.as_ref().is_some_and(|token| token.header == refused) {
            held.token = None;
        }
    }
}

impl From<Granted> for Token {
    fn from(granted: Granted) -> Self {
        let lifetime = granted.lifetime.unwrap_or(LIFETIME_MAX).min(LIFETIME_MAX);
        let margin = EXPIRY_MARGIN_MAX.min(lifetime / 2);
        Self { header: granted.header, usable_until: Instant::now() + lifetime.saturating_sub(margin) }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use futures_util::future::join_all;
    use reqwest::header::HeaderValue;

    use super::{Granted, Tokens};
    use crate::client::error::TokenError;

    /// An endpoint that counts, and takes a second for each answer.
    #[derive(Default)]
    struct Endpoint {
        fetches: Cell<u32>,
        fails: Cell<bool>,
    }

    impl Endpoint {
        async fn fetch(&self, seconds: Option<u64>) -> Result<Granted, TokenError> {
            self.fetches.set(self.fetches.get() + 1);
            tokio::time::sleep(Duration::from_secs(1)).await;
            if self.fails.get() {
                return Err(TokenError::Unreadable { endpoint: String::new() });
            }
            let header = HeaderValue::from(self.fetches.get());
            Ok(Granted { header, lifetime: seconds.map(Duration::from_secs) })
        }

        /// Which token is in use now, by the number of its fetch.
        async fn ask(&self, tokens: &Tokens, seconds: Option<u64>) -> Option<String> {
            let header = tokens.get(async || self.fetch(seconds).await).await.ok()?;
            Some(header.to_str().unwrap().to_owned())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_used_until_shortly_before_it_expires() {
        let (endpoint, tokens) = (Endpoint::default(), Tokens::default());
        for (wait, expected) in [(0, "1"), (538, "1"), (2, "2"), (538, "2"), (3, "3")] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            assert_eq!(endpoint.ask(&tokens, Some(600)).await.as_deref(), Some(expected), "after {wait} s more");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_of_short_life_is_used_for_half_of_it() {
        let (endpoint, tokens) = (Endpoint::default(), Tokens::default());
        for (wait, expected) in [(0, "1"), (4, "1"), (2, "2")] {
            tokio::time::advance(Duration::from_secs(wait)).await;
            assert_eq!(endpoint.ask(&tokens, Some(10)).await.as_deref(), Some(expected));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_of_unknown_life_is_used_until_it_is_refused() {
        let (endpoint, tokens) = (Endpoint::default(), Tokens::default());
        endpoint.ask(&tokens, None).await;
        tokio::time::advance(Duration::from_secs(86_000)).await;
        assert_eq!(endpoint.ask(&tokens, None).await.as_deref(), Some("1"));
        tokens.forget(&HeaderValue::from(1)).await;
        assert_eq!(endpoint.ask(&tokens, None).await.as_deref(), Some("2"));
        tokens.forget(&HeaderValue::from(1)).await;
        assert_eq!(endpoint.ask(&tokens, None).await.as_deref(), Some("2"), "a late refusal of the one before");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_at_once_share_one_fetch_and_its_failure() {
        let (endpoint, tokens) = (Endpoint::default(), Tokens::default());
        endpoint.fails.set(true);
        let answers = join_all((0..16).map(|_| endpoint.ask(&tokens, None))).await;
        assert_eq!((answers, endpoint.fetches.get()), (vec![None; 16], 1));
        endpoint.fails.set(false);
        let answers = join_all((0..16).map(|_| endpoint.ask(&tokens, None))).await;
        assert_eq!((answers, endpoint.fetches.get()), (vec![Some("2".to_owned()); 16], 2));
    }
}
