//! Every word of the technician's page in both languages.
//!
//! Words that the rest of the program says in sentences of its own (driver errors, a channel's reason, an answer to reset) stay
//! English, and the page marks them so.

use headend_wire::ChannelState;

use crate::{
    card::CardState,
    input::{
        report::InputState,
        tuner::{
            figures::Remark,
            lock::TunerState,
            report::{SeatUse, Verdict},
        },
    },
};

headend_rt::words! {
    title: "Technician", "Technicien";
    skip: "Skip to what needs attention", "Aller aux points à voir";
    other_language: "Français", "English";
    no_script: "Without JavaScript this page loads itself again every 5 seconds.",
        "Sans JavaScript, cette page se recharge toutes les 5 secondes.";
    silent: "This box has not answered for", "Ce boîtier ne répond plus depuis";
    attention: "Needs attention", "À voir";
    all_well: "Nothing. Everything this box can see is well.", "Rien. Tout ce que ce boîtier peut voir va bien.";
    channels: "Channels", "Chaînes";
    no_channels: "No channel yet. They come from the controller: enrol this box, or wait for its first answer.",
        "Aucune chaîne. Elles viennent du contrôleur : inscrivez ce boîtier, ou attendez sa première réponse.";
    inputs: "Inputs", "Entrées";
    no_inputs: "No input is open, because no channel names a source.", "Aucune entrée ouverte : aucune chaîne ne cite de source.";
    tuners: "Tuners", "Tuners";
    no_tuners: "No tuner is configured. Add [[antenna]] and [[tuner]] to node.toml; “headend-node femon --list” shows the devices.",
        "Aucun tuner configuré. Ajoutez [[antenna]] et [[tuner]] dans node.toml ; « headend-node femon --list » montre les appareils.";
    cards: "Cards", "Cartes";
    no_cards: "No card is configured. Add [[cards]] to node.toml; “headend-node card” shows the readers.",
        "Aucune carte configurée. Ajoutez [[cards]] dans node.toml ; « headend-node card » montre les lecteurs.";
    scrambled: "Scrambled services", "Services cryptés";
    no_scrambled: "No channel uses a scrambled service.", "Aucune chaîne n’utilise de service crypté.";
    this_box: "This box", "Ce boîtier";
    version: "Version", "Version";
    controller: "Controller", "Contrôleur";
    connected: "connected", "connecté";
    not_connected: "not connected; channels go on with what was last wanted", "non connecté ; les chaînes continuent avec la dernière consigne";
    generation: "Desired state", "Consigne";
    none: "none", "aucune";
    events_waiting: "Events waiting", "Événements en attente";
    keys_until: "Content keys until", "Clés de contenu jusqu’au";
    connections: "Connections", "Connexions";
    state: "State", "État";
    since: "since", "depuis";
    source: "Source", "Source";
    sources: "Sources", "Sources";
    rate: "Rate", "Débit";
    viewers: "Viewers", "Public";
    cc: "CC errors/min", "Erreurs CC/min";
    plays: "plays", "à l’antenne";
    nothing_plays: "slate", "mire";
    strength: "Level", "Niveau";
    quality: "C/N", "C/N";
    relative_quality: "Quality", "Qualité";
    margin: "Margin", "Marge";
    no_figures: "no figures yet", "pas encore de mesures";
    ber: "BER", "TEB";
    lost_blocks: "Lost blocks/s", "Blocs perdus/s";
    mode: "Mode", "Mode";
    tuner: "Tuner", "Tuner";
    device: "Device", "Appareil";
    driver: "Driver", "Pilote";
    antenna: "Antennas", "Antennes";
    ladder: "What was tried", "Ce qui a été tenté";
    ladder_step: "step", "étape";
    of: "of", "sur";
    ladder_calm: "nothing to try", "rien à tenter";
    hangs: "driver hangs", "blocages du pilote";
    removals: "removals", "débranchements";
    losses: "Losses since opened", "Pertes depuis l’ouverture";
    cause: "Cause", "Cause";
    times: "Times", "Fois";
    at_least: "At least", "Au moins";
    lasted: "In", "En";
    cause_signal: "signal (dish, cable, weather)", "signal (parabole, câble, météo)";
    cause_kernel: "kernel ring (box too slow)", "tampon du noyau (boîtier trop lent)";
    cause_transfer: "transfer (USB, PCIe, driver)", "transfert (USB, PCIe, pilote)";
    cause_removal: "device was away", "appareil absent";
    cause_queue: "our own queue (box too slow)", "notre file d'attente (boîtier trop lent)";
    last_error: "Last trouble", "Dernier ennui";
    ago_before: "", "il y a ";
    ago_after: " ago", "";
    received: "Received", "Reçu";
    errors: "Errors", "Erreurs";
    used_by: "Used by", "Utilisée par";
    doing: "Doing", "Occupation";
    on: "on", "sur";
    backup: "As a backup", "En secours";
    never_proven: "not proved yet; each idle tuner is tried in turn with what channels want",
        "pas encore éprouvé ; chaque tuner libre est essayé à son tour sur ce que veulent les chaînes";
    last_good: "last good", "dernier succès";
    never_good: "never good", "jamais réussi";
    missing_services: "services missing", "services absents";
    reader: "Reader", "Lecteur";
    number: "Number ends in", "Numéro finissant par";
    systems: "CA systems", "Systèmes CA";
    atr: "Answer to reset", "Réponse à l’initialisation";
    entitlements: "May watch", "Droits";
    no_entitlements: "the card lists none", "la carte n’en liste aucun";
    until: "until", "jusqu’au";
    no_end: "no end told", "fin non indiquée";
    days_left: "days left", "jours restants";
    ended: "ENDED", "TERMINÉ";
    answers: "Answers", "Réponses";
    slowest: "slowest", "la plus lente";
    refused: "refused", "refusées";
    service: "Service", "Service";
    card: "Card", "Carte";
    input: "Input", "Entrée";
    trouble: "Trouble", "Ennui";
    reboot_wanted: "no step helped: move the viewers away, then reboot this box",
        "rien n’a aidé : déplacez les spectateurs, puis redémarrez ce boîtier";
    keys_end: "content keys end", "les clés de contenu se terminent";
    backup_bad: "spare tuner is no backup for", "le tuner de réserve ne peut pas secourir";
    weak: "weak signal, margin", "signal faible, marge";

    cams: "Modules (CAM)", "Modules (CAM)";
    cam_menu: "Open the module's menu", "Ouvrir le menu du module";
    cam_send: "Answer", "Répondre";
    cam_cancel: "Refuse", "Refuser";
    cam_back: "Back", "Retour";
    cam_close: "Close the menu", "Fermer le menu";
    cam_empty: "no module", "pas de module";
    cam_ready: "ready", "prêt";
    cam_starting: "starting", "démarrage";
    cam_waiting: "waits for its turn", "attend son tour";
    cam_refused: "not on the module's list", "pas sur la liste du module";

    ch_ok: "OK", "OK";
    ch_degraded: "DEGRADED", "DÉGRADÉ";
    ch_backup: "ON BACKUP", "EN SECOURS";
    ch_slate: "SLATE", "MIRE";
    ch_starting: "STARTING", "DÉMARRAGE";
    in_good: "good", "bonne";
    in_bad: "bad", "mauvaise";
    in_offline: "offline", "hors ligne";
    tu_absent: "device not there", "appareil absent";
    tu_opening: "opening", "ouverture";
    tu_no_lock: "no lock", "pas de verrouillage";
    tu_mute: "lock, but no data", "verrouillé, mais sans données";
    tu_locked: "lock, waiting for data", "verrouillé, données attendues";
    tu_receiving: "receiving", "réception";
    tu_waiting: "no tuner free", "aucun tuner libre";
    se_absent: "device not there", "appareil absent";
    se_idle: "idle, closed", "libre, fermé";
    se_warm: "idle, kept warm", "libre, maintenu sous tension";
    se_proving: "being proved", "mis à l’épreuve";
    se_serving: "at work", "au travail";
    ve_proven: "proven", "éprouvé";
    ve_no_device: "device failed", "appareil en défaut";
    ve_no_lock: "no lock", "pas de verrouillage";
    ve_no_data: "lock, but no data", "verrouillé, mais sans données";
    ve_services: "services missing", "services absents";
    ca_no_reader: "no reader", "pas de lecteur";
    ca_empty: "no card", "pas de carte";
    ca_mute: "mute", "muette";
    ca_in_use: "in use elsewhere", "occupée ailleurs";
    ca_opening: "opening", "ouverture";
    ca_ready: "ready", "prête";
    ca_failed: "failed", "en défaut";
    ad_no_reader: "Plug the reader in, and see that pcscd runs.", "Branchez le lecteur et vérifiez que pcscd tourne.";
    ad_empty: "Put the card in.", "Insérez la carte.";
    ad_mute: "Take the card out, look at the arrow, clean the contacts, put it in again.",
        "Retirez la carte, regardez la flèche, nettoyez les contacts, réinsérez-la.";
    ad_in_use: "Stop the other program that uses this reader.", "Arrêtez l’autre programme qui utilise ce lecteur.";
    ad_failed: "See the last trouble. A card in the wrong reader and a dirty contact look like this.",
        "Voyez le dernier ennui. Une carte dans le mauvais lecteur ou un contact sale se montrent ainsi.";
    ac_clear: "clear", "en clair";
    ac_scrambled: "SCRAMBLED", "CRYPTÉ";
    ac_quiet: "quiet", "silencieux";
    re_no_lock: "No lock: figures without lock mean little.", "Pas de verrouillage : les mesures ne disent pas grand-chose.";
    re_no_decibels: "The driver gives no dB: percentages compare this tuner with itself only.",
        "Le pilote ne donne pas de dB : les pourcentages ne comparent ce tuner qu’à lui-même.";
    re_legacy: "The driver has figures of the old interface only; their unit is unknown.",
        "Le pilote n’a que les mesures de l’ancienne interface ; leur unité est inconnue.";
    re_rubbish: "The driver gave a value that cannot be; it was dropped.",
        "Le pilote a donné une valeur impossible ; elle a été écartée.";
    re_no_modcod: "The driver does not tell modulation and code rate, so there is no margin.",
        "Le pilote ne dit ni modulation ni taux de code : pas de marge.";
    ru_tune: "tune", "accord";
    ru_retune: "tune again", "nouvel accord";
    ru_sec: "antenna control again", "commande d’antenne, de nouveau";
    ru_sec_slow: "antenna control, slower", "commande d’antenne, plus lente";
    ru_reopen: "close and open", "fermer et rouvrir";
    ru_rebind: "driver off and on", "pilote arrêté puis relancé";
    ru_usb: "USB off and on", "USB coupé puis rétabli";
    ru_reboot: "ask for a reboot", "demander un redémarrage";
}

impl Words {
    pub(super) fn channel(&self, state: &ChannelState) -> &'static str {
        match state {
            ChannelState::Ok => self.ch_ok,
            ChannelState::Degraded => self.ch_degraded,
            ChannelState::OnBackup => self.ch_backup,
            ChannelState::Slate => self.ch_slate,
            ChannelState::Starting => self.ch_starting,
        }
    }

    pub(super) fn input(&self, state: &InputState) -> &'static str {
        match state {
            InputState::Good => self.in_good,
            InputState::Bad => self.in_bad,
            InputState::Offline => self.in_offline,
        }
    }

    pub(super) fn tuner_state(&self, state: &TunerState) -> &'static str {
        match state {
            TunerState::Absent => self.tu_absent,
            TunerState::Opening => self.tu_opening,
            TunerState::NoLock => self.tu_no_lock,
            TunerState::LockWithoutData => self.tu_mute,
            TunerState::Locked => self.tu_locked,
            TunerState::Receiving => self.tu_receiving,
        }
    }

    pub(super) fn seat(&self, doing: &SeatUse) -> &'static str {
        match doing {
            SeatUse::Absent => self.se_absent,
            SeatUse::Idle => self.se_idle,
            SeatUse::Warm => self.se_warm,
            SeatUse::Proving => self.se_proving,
            SeatUse::Serving => self.se_serving,
        }
    }

    pub(super) fn verdict(&self, verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Proven => self.ve_proven,
            Verdict::NoDevice => self.ve_no_device,
            Verdict::NoLock => self.ve_no_lock,
            Verdict::NoData => self.ve_no_data,
            Verdict::ServicesMissing => self.ve_services,
        }
    }

    pub(super) fn card_state(&self, state: &CardState) -> &'static str {
        match state {
            CardState::NoReader => self.ca_no_reader,
            CardState::Empty => self.ca_empty,
            CardState::Mute => self.ca_mute,
            CardState::InUse => self.ca_in_use,
            CardState::Opening => self.ca_opening,
            CardState::Ready => self.ca_ready,
            CardState::Failed => self.ca_failed,
        }
    }

    /// What to do about a card; empty when nothing.
    pub(super) fn advice(&self, state: &CardState) -> &'static str {
        match state {
            CardState::NoReader => self.ad_no_reader,
            CardState::Empty => self.ad_empty,
            CardState::Mute => self.ad_mute,
            CardState::InUse => self.ad_in_use,
            CardState::Opening | CardState::Ready => "",
            CardState::Failed => self.ad_failed,
        }
    }

    pub(super) fn access(&self, state: &str) -> &'static str {
        match state {
            "clear" => self.ac_clear,
            "scrambled" => self.ac_scrambled,
            _ => self.ac_quiet,
        }
    }

    pub(super) fn remark(&self, remark: &Remark) -> &'static str {
        match remark {
            Remark::NoLock => self.re_no_lock,
            Remark::NoDecibels => self.re_no_decibels,
            Remark::Legacy => self.re_legacy,
            Remark::Rubbish => self.re_rubbish,
            Remark::NoModcod => self.re_no_modcod,
        }
    }

    /// The rungs of the ladder, in their order.
    pub(super) fn rungs(&self) -> [&'static str; 8] {
        [
            self.ru_tune,
            self.ru_retune,
            self.ru_sec,
            self.ru_sec_slow,
            self.ru_reopen,
            self.ru_rebind,
            self.ru_usb,
            self.ru_reboot,
        ]
    }
}
