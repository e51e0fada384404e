//! Every word of the dashboard in both languages, as one table that the compiler checks for holes.

pub use headend_rt::page::figures::{age, megabits};

use super::{
    hardware::Kind,
    matrix::{NodeWord, State},
};

headend_rt::words! {
    page_title: "Channels", "Chaînes";
    skip: "Skip to the channels", "Aller aux chaînes";
    nodes: "Nodes", "Nœuds";
    channels: "Channels", "Chaînes";
    channel: "Channel", "Chaîne";
    viewers_get: "Viewers get", "À l’antenne";
    origin: "Origin", "Origine";
    state: "State", "État";
    source: "Source", "Source";
    rate: "Mbit/s", "Mbit/s";
    cc: "CC/min", "CC/min";
    cc_long: "Continuity errors in the last minute", "Erreurs de continuité de la dernière minute";
    segment: "Segment", "Segment";
    segment_long: "Age of the last segment", "Âge du dernier segment";
    probe: "Probe", "Sonde";
    probe_long: "Last look at this origin as a viewer would, and its age", "Dernier essai comme le ferait un spectateur, et son âge";
    viewers: "Viewers", "Public";
    viewers_long: "Sessions in the last 30 s", "Sessions des 30 dernières secondes";
    st_down: "DOWN", "EN PANNE";
    st_slate: "SLATE", "MIRE";
    st_degraded: "DEGRADED", "DÉGRADÉ";
    st_unknown: "UNKNOWN", "INCONNU";
    st_starting: "STARTING", "DÉMARRAGE";
    st_on_backup: "ON BACKUP", "SECOURS";
    st_ok: "OK", "OK";
    nd_alive: "alive", "présent";
    nd_silent: "silent", "muet";
    nd_lost: "connection lost", "liaison perdue";
    nd_stopped: "stopped", "arrêté";
    nd_never: "never heard", "jamais entendu";
    seen: "seen", "vu";
    hardware_warnings: "hardware warnings", "alertes matériel";
    back: "All channels", "Toutes les chaînes";
    troubles: "What is wrong", "Ce qui ne va pas";
    no_troubles: "Nothing is known to be wrong with its hardware.", "Aucun défaut connu sur son matériel.";
    cards: "Cards", "Cartes";
    no_cards: "It has told of no card.", "Il n’a signalé aucune carte.";
    tuners: "Tuners", "Tuners";
    no_tuners: "It has told of no tuner.", "Il n’a signalé aucun tuner.";
    told: "Last report", "Dernier rapport";
    stale: "out of date", "périmé";
    ends: "First right ends", "Fin du premier droit";
    days_left: "days left", "jours restants";
    ended: "ended", "terminé";
    rights: "Rights", "Droits";
    trouble: "Last trouble", "Dernier ennui";
    doing: "Doing", "Occupation";
    level: "Level", "Niveau";
    margin: "Margin", "Marge";
    step: "Step", "Étape";
    losses: "Losses", "Pertes";
    cause_signal: "signal", "signal";
    cause_kernel: "kernel ring", "tampon du noyau";
    cause_transfer: "transfer", "transfert";
    cause_removal: "device away", "appareil absent";
    cause_queue: "own queue", "notre file";
    backup: "As a backup", "En secours";
    proven: "proven", "éprouvés";
    runbook: "what to do", "que faire";
    kd_reboot_asked: "asks for a reboot", "demande un redémarrage";
    kd_tuner: "tuner", "tuner";
    kd_backup: "spare tuner is no backup", "le tuner de réserve ne peut pas secourir";
    kd_card: "card does not serve", "la carte ne sert pas";
    kd_entitlement: "right to watch ends", "fin d’un droit";
    unknown_node: "No such node", "Nœud inconnu";
    never: "never", "jamais";
    heard: "heard", "entendu";
    generation: "generation", "génération";
    not_applied: "not applied", "non appliqué";
    status_page: "Status page", "Page d’état";
    wanted: "wanted", "voulue";
    serves: "viewers here", "public ici";
    probe_ok: "ok", "ok";
    probe_bad: "fails", "échec";
    no_probe: "not probed", "pas sondé";
    all: "All", "Toutes";
    filter: "Filter", "Filtrer";
    filter_hint: "number, title, node…", "numéro, titre, nœud…";
    none_fit: "No channel fits the filter.", "Aucune chaîne ne correspond au filtre.";
    none_yet: "No channel is in the line-up yet. Add one with headendctl or the API.",
        "Aucune chaîne dans l’offre. Ajoutez-en une avec headendctl ou l’API.";
    no_nodes: "No node is enrolled yet.", "Aucun nœud inscrit.";
    hidden: "calm channels not shown", "chaînes calmes non affichées";
    live: "live", "en direct";
    connecting: "connecting", "connexion";
    no_data: "No data for", "Aucune donnée depuis";
    what_you_see: "What you see is from", "Ce que vous voyez date de";
    reconnecting: "Reconnecting…", "Reconnexion…";
    signed_out: "Your session has ended.", "Votre session est terminée.";
    no_script: "Without JavaScript this page loads itself again every 10 seconds.",
        "Sans JavaScript, cette page se recharge toutes les 10 secondes.";
    help: "Keys", "Touches";
    help_filter: "filter the channels", "filtrer les chaînes";
    help_rows: "next, previous channel", "chaîne suivante, précédente";
    help_first: "first channel: where it hurts most", "première chaîne : là où ça fait le plus mal";
    help_escape: "clear the filter, leave the row", "vider le filtre, quitter la ligne";
    help_help: "this help", "cette aide";
    close: "Close", "Fermer";
    sign_in: "Sign in", "Se connecter";
    sign_out: "Sign out", "Se déconnecter";
    operators: "Operators", "Opérateurs";
    login: "Login", "Identifiant";
    password: "Password", "Mot de passe";
    wrong: "Login or password is wrong.", "Identifiant ou mot de passe incorrect.";
    too_many: "Too many attempts. Try again in", "Trop d’essais. Réessayez dans";
    unavailable: "Sign-in is not possible right now. Try again in a moment.",
        "Connexion impossible pour le moment. Réessayez dans un instant.";
    elsewhere: "This form was sent from another site. Sign in here.",
        "Ce formulaire vient d’un autre site. Connectez-vous ici.";
    subscribers_here: "Subscriber? Watch television", "Abonné ? Regarder la télévision";
    other_language: "Français", "English";
}

impl Words {
    /// The word of a state.
    #[must_use]
    pub fn state_word(&self, state: &State) -> &'static str {
        match state {
            State::Down => self.st_down,
            State::Slate => self.st_slate,
            State::Degraded => self.st_degraded,
            State::Unknown => self.st_unknown,
            State::Starting => self.st_starting,
            State::OnBackup => self.st_on_backup,
            State::Ok => self.st_ok,
        }
    }

    /// The word of a kind of hardware trouble.
    #[must_use]
    pub fn kind_word(&self, kind: &Kind) -> &'static str {
        match kind {
            Kind::RebootAsked => self.kd_reboot_asked,
            Kind::Tuner => self.kd_tuner,
            Kind::Backup => self.kd_backup,
            Kind::Card => self.kd_card,
            Kind::Entitlement => self.kd_entitlement,
        }
    }

    /// The word of a node's presence.
    #[must_use]
    pub fn node_word(&self, word: &NodeWord) -> &'static str {
        match word {
            NodeWord::Alive => self.nd_alive,
            NodeWord::Silent => self.nd_silent,
            NodeWord::Lost => self.nd_lost,
            NodeWord::Stopped => self.nd_stopped,
            NodeWord::Never => self.nd_never,
        }
    }
}
