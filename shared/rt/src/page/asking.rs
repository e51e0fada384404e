//! Who is asking: cookies and bearer tokens out of a request, and whether a write comes from our own page.
//!
//! A cookie alone never authorises a write: browsers attach it for strangers' pages too. `SameSite=Strict`
//! is the first bolt, the `Origin` header (RFC 6454 section 7) the second. A bearer token is never attached
//! by a browser, so it needs neither.

use axum::http::{HeaderMap, header};

use super::headers::origin_of;

/// The value of a cookie (RFC 6265 section 4.2), the first when it comes twice.
#[must_use]
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// The token of `Authorization: Bearer` (RFC 6750 section 2.1).
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a browser says that the request comes from a page of this very host.
///
/// A request without `Origin` is refused: every browser that knows `SameSite` sends it with a POST.
#[must_use]
pub fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let (Some(origin), Some(host)) = (text(header::ORIGIN), text(header::HOST)) else { return false };
    let theirs = origin_of(origin).filter(|whole| *whole == origin).and_then(|whole| whole.split_once("://"));
    theirs.is_some_and(|(_, theirs)| theirs.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn cookies_and_tokens_are_found() {
        let asked = headers(&[("cookie", "a=1; operator=tok=en; operator=2"), ("authorization", "bearer abc")]);
        assert_eq!(cookie(&asked, "operator"), Some("tok=en"));
        assert_eq!(cookie(&asked, "perator"), None);
        assert_eq!(bearer(&asked), Some("abc"));
        assert_eq!(bearer(&headers(&[("authorization", "Basic abc")])), None);
    }

    fn check(origin: Option<&str>, want: bool) {
        let mut asked = headers(&[("host", "noc.example:8080")]);
        if let Some(origin) = origin {
            asked.insert(header::ORIGIN, origin.parse().unwrap());
        }
        assert_eq!(same_origin(&asked), want, "{origin:?}");
    }

    #[test]
    fn only_our_own_page_may_write() {
        check(Some("http://noc.example:8080"), true);
        check(Some("https://NOC.example:8080"), true);
        check(Some("http://noc.example"), false);
        check(Some("http://evil.example:8080"), false);
        check(Some("http://noc.example:8080.evil.example"), false);
        check(Some("null"), false);
        check(None, false);
    }
}
