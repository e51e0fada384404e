//! Which of our two languages a reader gets: the one chosen with the switch, else what the browser asks for.
//!
//! The choice is a cookie without any identity (`lang`), written when a page is asked with `?lang=`.

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;

use super::asking::cookie;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// English, also when nothing fits.
    #[default]
    En,
    /// French.
    Fr,
}

impl Language {
    /// The tag for `lang=`, the cookie and the query.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Fr => "fr",
        }
    }

    /// The one to switch to.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::En => Self::Fr,
            Self::Fr => Self::En,
        }
    }

    /// From a tag as we write it.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        [Self::En, Self::Fr].into_iter().find(|language| language.tag() == tag)
    }

    /// What this request is answered in.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let chosen = cookie(headers, "lang").and_then(Self::from_tag);
        let asked = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        chosen.or_else(|| asked.and_then(accepted)).unwrap_or_default()
    }

    /// The cookie that keeps the choice for a year.
    #[must_use]
    pub fn set_cookie(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::En => "lang=en; Path=/; Max-Age=31536000; SameSite=Lax",
            Self::Fr => "lang=fr; Path=/; Max-Age=31536000; SameSite=Lax",
        })
    }
}

/// The query of a page: the language switch.
#[derive(Debug, Default, Deserialize)]
pub struct Switch {
    lang: Option<String>,
}

impl Switch {
    /// When a language was asked for: keeps it and sends the reader to the clean address.
    #[must_use]
    pub fn response(&self, back: &str) -> Option<Response> {
        let language = self.lang.as_deref().and_then(Language::from_tag)?;
        Some(([(header::SET_COOKIE, language.set_cookie())], Redirect::to(back)).into_response())
    }
}

/// The best of ours in an `Accept-Language` (RFC 9110 section 12.5.4); quality in thousandths.
fn accepted(text: &str) -> Option<Language> {
    let mut best: Option<(Language, u32)> = None;
    for range in text.split(',').take(32) {
        let mut parts = range.split(';');
        let tag = parts.next().unwrap_or_default().trim();
        let primary = tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(1000, thousandths);
        let Some(language) = Language::from_tag(&primary) else { continue };
        if quality > 0 && best.is_none_or(|(_, so_far)| quality > so_far) {
            best = Some((language, quality));
        }
    }
    best.map(|(language, _)| language)
}

fn thousandths(text: &str) -> u32 {
    let (whole, part) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let part: u32 = format!("{part:0<3}").get(..3).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    if whole == "1" { 1000 } else { part }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(accept: &str, cookie: &str, want: Language) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, accept.parse().unwrap());
        headers.insert(header::COOKIE, cookie.parse().unwrap());
        assert_eq!(Language::of(&headers), want, "{accept} {cookie}");
    }

    #[test]
    fn the_switch_beats_the_browser_and_english_is_the_rest() {
        check("fr-FR,fr;q=0.9,en;q=0.8", "", Language::Fr);
        check("en-GB,en;q=0.9,fr;q=0.8", "", Language::En);
        check("en;q=0.3, fr;q=0.7", "", Language::Fr);
        check("fr;q=0, en;q=0.1", "", Language::En);
        check("de, es", "", Language::En);
        check("en", "a=b; lang=fr", Language::Fr);
        check("fr", "lang=xx", Language::Fr);
    }

    proptest! {
        #[test]
        fn any_header_is_answered(text in ".{0,200}") {
            let _ = accepted(&text);
        }
    }
}
