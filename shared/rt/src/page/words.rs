//! Tables of words in both languages, which the compiler checks for holes.

/// Makes a type `Words` with a field for each line, and its constructor `of` for a [`super::language::Language`].
///
/// ```
/// headend_rt::words! {
///     channels: "Channels", "Chaînes";
/// }
/// # fn main() {
/// use headend_rt::page::language::Language;
/// assert_eq!(Words::of(Language::Fr).channels, "Chaînes");
/// # }
/// ```
#[macro_export]
macro_rules! words {
    ($($key:ident: $en:literal, $fr:literal;)*) => {
        /// The words of one language.
        #[derive(Debug, Clone, Copy)]
        pub struct Words { $(#[doc = $en] pub $key: &'static str,)* }

        static EN: Words = Words { $($key: $en,)* };
        static FR: Words = Words { $($key: $fr,)* };

        impl Words {
            /// The words of a language.
            #[must_use]
            pub fn of(language: $crate::page::language::Language) -> &'static Self {
                match language {
                    $crate::page::language::Language::En => &EN,
                    $crate::page::language::Language::Fr => &FR,
                }
            }
        }
    };
}
