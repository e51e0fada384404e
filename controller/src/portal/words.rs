//! Every word of the portal in both languages; the page carries them to its script as data attributes.

use crate::page::language::Language;

macro_rules! words {
    ($($key:ident: $en:literal, $fr:literal;)*) => {
        /// The words of one language.
        #[derive(Debug, Clone, Copy)]
        pub(super) struct Words { $(pub(super) $key: &'static str,)* }

        static EN: Words = Words { $($key: $en,)* };
        static FR: Words = Words { $($key: $fr,)* };
    };
}

words! {
    title: "Television", "Télévision";
    lead: "Sign in with the login and password of your subscription.",
        "Connectez-vous avec l’identifiant et le mot de passe de votre abonnement.";
    login: "Login", "Identifiant";
    password: "Password", "Mot de passe";
    sign_in: "Sign in", "Se connecter";
    sign_out: "Sign out", "Se déconnecter";
    channels: "Channels", "Chaînes";
    choose: "Choose a channel.", "Choisissez une chaîne.";
    none: "There is no channel in your subscription yet.", "Votre abonnement ne comprend encore aucune chaîne.";
    sound: "Sound", "Son";
    unmute: "Turn the sound on", "Activer le son";
    play: "Play", "Lire";
    wrong: "Login or password is wrong.", "Identifiant ou mot de passe incorrect.";
    too_many: "Too many attempts. Wait a moment, then try again.", "Trop d’essais. Patientez un instant, puis réessayez.";
    unreachable: "The service does not answer. Trying again…", "Le service ne répond pas. Nouvel essai…";
    failed: "That did not work. Try again in a moment.", "Cela n’a pas fonctionné. Réessayez dans un instant.";
    ended: "Your session has ended. Sign in again.", "Votre session est terminée. Connectez-vous à nouveau.";
    loading: "Starting…", "Démarrage…";
    moving: "The picture stopped. Looking for another way…", "L’image s’est arrêtée. Recherche d’un autre chemin…";
    refused: "This channel is not in your subscription.", "Cette chaîne ne fait pas partie de votre abonnement.";
    no_sound: "This channel’s sound needs the app or a set-top box.",
        "Le son de cette chaîne demande l’application ou un décodeur.";
    no_picture: "This channel’s picture needs the app or a set-top box.",
        "L’image de cette chaîne demande l’application ou un décodeur.";
    cannot: "This browser cannot play television. Use a current Chromium, Firefox, Edge or Safari.",
        "Ce navigateur ne lit pas la télévision. Utilisez un Chromium, Firefox, Edge ou Safari à jour.";
    no_script: "This page needs JavaScript.", "Cette page a besoin de JavaScript.";
    keys: "Arrows choose a channel, Enter plays it, f fills the screen, m mutes.",
        "Les flèches choisissent une chaîne, Entrée la lit, f plein écran, m coupe le son.";
    other_language: "Français", "English";
}

impl Words {
    /// The words of a language.
    pub(super) fn of(language: Language) -> &'static Self {
        match language {
            Language::En => &EN,
            Language::Fr => &FR,
        }
    }
}
