//! One disposable thread for each frontend: the only one that may wait for a driver.
//!
//! Shell. All calls on a frontend queue in the kernel behind one lock, and a driver may hold it for seconds or for ever.
//! So they are made here, one order at a time, and the owner only looks whether an answer has come. An order that is
//! overdue is given up together with its thread: both ends of the channels are dropped, and when the call does
//! come back, the thread closes the frontend and ends. Until then [`Worker::holds`] says that the device is still held.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use super::figures::Reading;
use super::frontend::{Description, DeviceError, Filter, Frontend, Stream};
use super::sec::{Plan, Step};
use super::tune::Property;

/// A call that takes longer is given up; waits that were ordered come on top.
pub const CALL_MAX: Duration = Duration::from_secs(2);
/// Resets take a driver's unbind and bind, firmware included.
pub const RESET_MAX: Duration = Duration::from_secs(20);
/// How long a tuner waits for its turn on a shared cable before it talks anyway: its owner may hang.
const CABLE_MAX: Duration = Duration::from_secs(1);
const CABLE_STEP: Duration = Duration::from_millis(5);

/// A cable that several tuners talk on, one at a time.
pub type Cable = Arc<Mutex<()>>;

/// Opens a frontend.
pub type Opener = Box<dyn FnOnce() -> Result<Box<dyn Frontend>, DeviceError> + Send>;

/// Something else that may block.
pub type Job = Box<dyn FnOnce() -> Result<(), DeviceError> + Send>;

/// What to do.
pub enum Order {
    /// Open the frontend; the one before is closed first.
    Open(Opener),
    /// Play the plan, tune, and open the stream if one is wanted.
    Tune {
        /// Antenna control; none to tune only.
        plan: Option<Plan>,
        /// For the frontend.
        properties: Vec<Property>,
        /// Filter and ring bytes.
        stream: Option<(Filter, u32)>,
        /// Held while the plan is played.
        cable: Option<Cable>,
    },
    /// Read the status, with all figures or without.
    Look {
        /// With all figures.
        figures: bool,
    },
    /// Close the frontend, then do this.
    Reset(Job),
}

impl Order {
    /// How long it may take.
    fn allowance(&self) -> Duration {
        match self {
            Self::Tune { plan: Some(plan), .. } => CALL_MAX + CABLE_MAX + plan.waits(),
            Self::Reset(_) => RESET_MAX,
            Self::Open(_) | Self::Look { .. } | Self::Tune { .. } => CALL_MAX,
        }
    }
}

/// What came of it.
pub enum Answer {
    /// The frontend is open.
    Opened(Result<Description, DeviceError>),
    /// It is tuned; the stream, if one was wanted.
    Tuned(Result<Option<Box<dyn Stream>>, DeviceError>),
    /// The status.
    Looked(Result<Reading, DeviceError>),
    /// The reset is done.
    Reset(Result<(), DeviceError>),
}

/// Whether a worker that was given up still holds its device.
#[derive(Clone, Debug)]
pub struct Held(Arc<AtomicBool>);

impl Held {
    /// Whether it does.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The owner's end of a worker thread. Dropping it ends the thread as soon as the driver lets go of it.
pub struct Worker {
    orders: SyncSender<Order>,
    answers: Receiver<Answer>,
    /// Until when the order in flight may take.
    due: Option<Instant>,
    held: Held,
    description: Option<Description>,
}

impl Worker {
    /// Starts a thread without a frontend; `None` when the system gives no thread.
    #[must_use]
    pub fn start(name: &str) -> Option<Self> {
        let (orders, inbox) = sync_channel(1);
        let (outbox, answers) = sync_channel(1);
        let held = Held(Arc::new(AtomicBool::new(true)));
        let release = Release(held.clone());
        // Not through the supervisor, which waits for its threads at the end: this one may never come back.
        let thread = thread::Builder::new().name(format!("fe {name}").chars().take(15).collect());
        let body = move || {
            let _release = release;
            serve(&inbox, &outbox);
        };
        thread.spawn(body).ok()?;
        Some(Self { orders, answers, due: None, held, description: None })
    }

    /// Gives an order; `false` when one is in flight or the thread is gone.
    #[must_use]
    pub fn ask(&mut self, order: Order) -> bool {
        let due = Instant::now() + order.allowance();
        if self.due.is_some() || self.orders.try_send(order).is_err() {
            return false;
        }
        self.due = Some(due);
        true
    }

    /// Takes the answer if it has come.
    pub fn take(&mut self) -> Option<Answer> {
        match self.answers.try_recv() {
            Ok(answer) => {
                self.note(&answer);
                Some(answer)
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
    }

    /// Waits for the answer, for a verb that has nothing else to do; `None` when it is overdue.
    pub fn wait(&mut self) -> Option<Answer> {
        let left = self.due?.saturating_duration_since(Instant::now());
        let answer = self.answers.recv_timeout(left).ok()?;
        self.note(&answer);
        Some(answer)
    }

    fn note(&mut self, answer: &Answer) {
        self.due = None;
        match answer {
            Answer::Opened(opened) => self.description = opened.as_ref().ok().cloned(),
            Answer::Reset(_) => self.description = None,
            Answer::Tuned(_) | Answer::Looked(_) => {}
        }
    }

    /// What the open frontend is; `None` while none is open.
    #[must_use]
    pub fn description(&self) -> Option<&Description> {
        self.description.as_ref()
    }

    /// Whether the order in flight took too long, and the worker should be dropped.
    #[must_use]
    pub fn overdue(&self) -> bool {
        self.due.is_some_and(|due| Instant::now() >= due)
    }

    /// Whether an order is in flight.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.due.is_some()
    }

    /// Tells, also after the worker was dropped, whether its thread still holds the device.
    #[must_use]
    pub fn holds(&self) -> Held {
        self.held.clone()
    }
}

struct Release(Held);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Release);
    }
}

fn serve(inbox: &Receiver<Order>, outbox: &SyncSender<Answer>) {
    let mut frontend: Option<Box<dyn Frontend>> = None;
    while let Ok(order) = inbox.recv() {
        let answer = perform(&mut frontend, order);
        if outbox.send(answer).is_err() {
            return;
        }
    }
}

fn perform(frontend: &mut Option<Box<dyn Frontend>>, order: Order) -> Answer {
    let closed =
        || DeviceError { call: "use", device: "a closed frontend".to_owned(), errno: nix::errno::Errno::EBADF };
    match order {
        Order::Open(opener) => {
            *frontend = None;
            Answer::Opened(opener().map(|open| {
                let description = open.describe().clone();
                *frontend = Some(open);
                description
            }))
        }
        Order::Tune { plan, properties, stream, cable } => {
            let Some(frontend) = frontend else { return Answer::Tuned(Err(closed())) };
            Answer::Tuned(tune(&mut **frontend, plan.as_ref(), &properties, stream, cable.as_ref()))
        }
        Order::Look { figures } => match frontend {
            Some(frontend) => Answer::Looked(frontend.read(figures)),
            None => Answer::Looked(Err(closed())),
        },
        Order::Reset(job) => {
            *frontend = None;
            Answer::Reset(job())
        }
    }
}

fn tune(
    frontend: &mut dyn Frontend,
    plan: Option<&Plan>,
    properties: &[Property],
    stream: Option<(Filter, u32)>,
    cable: Option<&Cable>,
) -> Result<Option<Box<dyn Stream>>, DeviceError> {
    if let Some(plan) = plan {
        let _turn = cable.filter(|_| plan.exclusive).map(|cable| turn(cable));
        for step in &plan.steps {
            match step {
                Step::Wait(wait) => pause(*wait),
                other => frontend.control(other)?,
            }
        }
    }
    frontend.tune(properties)?;
    stream.map(|(filter, ring_bytes)| frontend.stream(&filter, ring_bytes)).transpose()
}

/// This tuner's turn on a cable, or none after a while.
fn turn(cable: &Mutex<()>) -> Option<std::sync::MutexGuard<'_, ()>> {
    let until = Instant::now() + CABLE_MAX;
    loop {
        match cable.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(guard)) => return Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) if Instant::now() < until => pause(CABLE_STEP),
            Err(TryLockError::WouldBlock) => return None,
        }
    }
}

fn pause(wait: Duration) {
    let until = Instant::now() + wait;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}
