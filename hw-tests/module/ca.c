// SPDX-License-Identifier: GPL-2.0
/*
 * The card's common interface: one slot, and a module in it that the test plays.
 *
 * The kernel's EN 50221 core does what it does with hardware: it reads the module's
 * attribute memory, negotiates the link and splits messages into fragments. Those
 * fragments go to and come from /dev/headend-camN, one with each read and write. A
 * read of one byte is an event: the slot was reset.
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "tuner.h"

/* Registers of the interface and their bits (EN 50221 annex A.2.2). */
enum { REG_DATA, REG_STATUS, REG_SIZE_LOW, REG_SIZE_HIGH };
#define COMMAND_SIZE_READ 0x04
#define COMMAND_RESET     0x08
#define STATUS_FREE       0x40
#define STATUS_AVAILABLE  0x80

#define CONFIG_BASE 0x1fe
#define EVENT_RESET 0x01

/* What a module says of itself as a PC card (EN 50221 annex A.5.6). */
static const u8 cis[] = {
	0x1d, 4, 0x00, 0xdb, 0x08, 0xff,
	0x1c, 5, 0x02, 0x00, 0xdb, 0x08, 0xff,
	0x15, 20, 5, 0, 'H', 'e', 'a', 'd', 'e', 'n', 'd', 0, 'T', 'e', 's', 't', ' ', 'C', 'A', 'M', 0, 0xff,
	0x20, 4, 0x48, 0x44, 0x01, 0x00,
	0x1a, 21, 0x01, 0x0f, CONFIG_BASE & 0xff, CONFIG_BASE >> 8, 0x01,
	0xc0, 14, 0x41, 0x02, 'D', 'V', 'B', '_', 'C', 'I', '_', 'V', '1', '.', '0', '0',
	0x1b, 38, 0xcf, 0x04, 0x09, 0x37, 0x55, 0x4d, 0x5d, 0x1d, 0x56, 0x22, 0x20,
	0xc0, 9, 'D', 'V', 'B', '_', 'H', 'O', 'S', 'T', 0,
	0xc1, 14, 'D', 'V', 'B', '_', 'C', 'I', '_', 'M', 'O', 'D', 'U', 'L', 'E', 0,
	0x14, 0, 0xff,
};

static bool put(struct fragments *queue, const u8 *bytes, size_t len)
{
	struct fragment *next;

	if (queue->count == FRAGMENTS)
		return false;
	next = &queue->list[(queue->first + queue->count++) % FRAGMENTS];
	next->len = len;
	memcpy(next->bytes, bytes, len);
	return true;
}

static int take(struct fragments *queue, u8 *bytes, size_t room)
{
	struct fragment *first = &queue->list[queue->first];
	size_t len = min_t(size_t, first->len, room);

	if (!queue->count)
		return 0;
	memcpy(bytes, first->bytes, len);
	queue->first = (queue->first + 1) % FRAGMENTS;
	queue->count--;
	return len;
}

static struct cam *cam_of(struct dvb_ca_en50221 *ca)
{
	return &((struct socket *)ca->data)->cam;
}

/* Like a transfer on a bus that does not answer: uninterruptible, under the core's lock. */
static void hang(struct cam *cam)
{
	s64 ms = READ_ONCE(cam->hang_ms);

	if (ms > 0)
		msleep((unsigned int)ms);
}

static int attribute_read(struct dvb_ca_en50221 *ca, int slot, int address)
{
	struct cam *cam = cam_of(ca);

	if (!cam->inserted)
		return -EIO;
	if (address == CONFIG_BASE)
		return cam->option;
	return address / 2 < ARRAY_SIZE(cis) ? cis[address / 2] : 0xff;
}

static int attribute_write(struct dvb_ca_en50221 *ca, int slot, int address, u8 value)
{
	if (address == CONFIG_BASE)
		cam_of(ca)->option = value;
	return 0;
}

/* The registers matter while the link is negotiated; after that data go in blocks. */
static int control_read(struct dvb_ca_en50221 *ca, int slot, u8 address)
{
	static const u8 link_bytes[] = { FRAGMENT_BYTES >> 8, FRAGMENT_BYTES & 0xff };
	struct cam *cam = cam_of(ca);
	bool asked = cam->command & COMMAND_SIZE_READ;
	int value;

	if (!cam->inserted)
		return -EIO;
	spin_lock(&cam->lock);
	switch (address) {
	case REG_STATUS:
		value = STATUS_FREE | (asked || cam->to_host->count ? STATUS_AVAILABLE : 0);
		break;
	case REG_SIZE_LOW:
		value = asked ? sizeof(link_bytes) : 0;
		break;
	case REG_DATA:
		value = asked && cam->at < sizeof(link_bytes) ? link_bytes[cam->at++] : 0;
		break;
	default:
		value = 0;
	}
	spin_unlock(&cam->lock);
	return value;
}

static int control_write(struct dvb_ca_en50221 *ca, int slot, u8 address, u8 value)
{
	struct cam *cam = cam_of(ca);

	if (!cam->inserted)
		return -EIO;
	if (address != REG_STATUS)
		return 0;
	spin_lock(&cam->lock);
	cam->command = value;
	cam->at = 0;
	if (value & COMMAND_RESET)
		cam->to_host->count = 0;
	spin_unlock(&cam->lock);
	return 0;
}

static int block_read(struct dvb_ca_en50221 *ca, int slot, u8 *bytes, int room)
{
	struct cam *cam = cam_of(ca);
	int len;

	hang(cam);
	if (!cam->inserted)
		return -EIO;
	spin_lock(&cam->lock);
	len = take(cam->to_host, bytes, room);
	spin_unlock(&cam->lock);
	return len;
}

/* A module that takes nothing is busy: the core tries again for half a second. */
static int block_write(struct dvb_ca_en50221 *ca, int slot, u8 *bytes, int len)
{
	struct cam *cam = cam_of(ca);
	bool done;

	hang(cam);
	if (!cam->inserted || len > FRAGMENT_BYTES)
		return -EIO;
	spin_lock(&cam->lock);
	done = put(cam->to_test, bytes, len);
	spin_unlock(&cam->lock);
	return done ? len : -EAGAIN;
}

static int slot_reset(struct dvb_ca_en50221 *ca, int slot)
{
	struct cam *cam = cam_of(ca);
	u8 event = EVENT_RESET;

	spin_lock(&cam->lock);
	cam->to_host->count = 0;
	cam->to_test->count = 0;
	cam->command = 0;
	put(cam->to_test, &event, 1);
	spin_unlock(&cam->lock);
	cam->ready_at = jiffies + msecs_to_jiffies((unsigned int)cam->ready_ms);
	journal_note(&((struct socket *)ca->data)->journal, "ca reset");
	return 0;
}

static int slot_shutdown(struct dvb_ca_en50221 *ca, int slot)
{
	journal_note(&((struct socket *)ca->data)->journal, "ca shutdown");
	return 0;
}

static int slot_ts_enable(struct dvb_ca_en50221 *ca, int slot)
{
	journal_note(&((struct socket *)ca->data)->journal, "ca ts-enable");
	return 0;
}

static int slot_poll(struct dvb_ca_en50221 *ca, int slot, int open)
{
	struct cam *cam = cam_of(ca);
	int status = 0;

	if (cam->inserted)
		status |= DVB_CA_EN50221_POLL_CAM_PRESENT;
	if (xchg(&cam->changed, 0))
		return status | DVB_CA_EN50221_POLL_CAM_CHANGED;
	if (cam->inserted && time_after_eq(jiffies, cam->ready_at))
		status |= DVB_CA_EN50221_POLL_CAM_READY;
	return status;
}

int ca_register(struct socket *socket, struct card *card)
{
	struct dvb_ca_en50221 *ca = &card->ca;

	ca->owner = THIS_MODULE;
	ca->read_attribute_mem = attribute_read;
	ca->write_attribute_mem = attribute_write;
	ca->read_cam_control = control_read;
	ca->write_cam_control = control_write;
	ca->read_data = block_read;
	ca->write_data = block_write;
	ca->slot_reset = slot_reset;
	ca->slot_shutdown = slot_shutdown;
	ca->slot_ts_enable = slot_ts_enable;
	ca->poll_slot_status = slot_poll;
	ca->data = socket;
	return dvb_ca_en50221_init(&card->adapter, ca, 0, 1);
}

/* The test's side: the next fragment or event for the module; EAGAIN when there is none. */
static ssize_t cam_read(struct file *file, char __user *buf, size_t count, loff_t *at)
{
	struct cam *cam = container_of(file->private_data, struct cam, misc);
	u8 bytes[FRAGMENT_BYTES];
	int len;

	spin_lock(&cam->lock);
	len = take(cam->to_test, bytes, sizeof(bytes));
	spin_unlock(&cam->lock);
	if (!len)
		return -EAGAIN;
	if (len > count)
		return -EINVAL;
	return copy_to_user(buf, bytes, len) ? -EFAULT : len;
}

static ssize_t cam_write(struct file *file, const char __user *buf, size_t count, loff_t *at)
{
	struct cam *cam = container_of(file->private_data, struct cam, misc);
	struct socket *socket = container_of(cam, struct socket, cam);
	u8 bytes[FRAGMENT_BYTES];
	bool done;

	if (count < 1 || count > sizeof(bytes))
		return -EINVAL;
	if (copy_from_user(bytes, buf, count))
		return -EFAULT;
	spin_lock(&cam->lock);
	done = put(cam->to_host, bytes, count);
	spin_unlock(&cam->lock);
	mutex_lock(&socket->feed);
	if (socket->card && socket->card->ca.private)
		dvb_ca_en50221_frda_irq(&socket->card->ca, 0);
	mutex_unlock(&socket->feed);
	return done ? count : -EAGAIN;
}

static const struct file_operations cam_fops = {
	.owner = THIS_MODULE,
	.read = cam_read,
	.write = cam_write,
	.llseek = noop_llseek,
};

static int inserted_show(struct seq_file *file, void *unused)
{
	seq_printf(file, "%d\n", READ_ONCE(((struct cam *)file->private)->inserted));
	return 0;
}

static int inserted_open(struct inode *inode, struct file *file)
{
	return single_open(file, inserted_show, inode->i_private);
}

/* 1 puts a module into the slot, 0 pulls it. */
static ssize_t inserted_write(struct file *file, const char __user *buf, size_t count, loff_t *at)
{
	struct cam *cam = ((struct seq_file *)file->private_data)->private;
	struct socket *socket = container_of(cam, struct socket, cam);
	bool inserted;
	int err = kstrtobool_from_user(buf, count, &inserted);

	if (err)
		return err;
	if (inserted != cam->inserted) {
		journal_note(&socket->journal, inserted ? "ca module put in" : "ca module pulled");
		WRITE_ONCE(cam->inserted, inserted);
		xchg(&cam->changed, 1);
	}
	return count;
}

static const struct file_operations inserted_fops = {
	.owner = THIS_MODULE,
	.open = inserted_open,
	.read = seq_read,
	.write = inserted_write,
	.llseek = seq_lseek,
	.release = single_release,
};

int cam_create(struct socket *socket)
{
	struct cam *cam = &socket->cam;

	spin_lock_init(&cam->lock);
	cam->to_host = kzalloc(sizeof(*cam->to_host), GFP_KERNEL);
	cam->to_test = kzalloc(sizeof(*cam->to_test), GFP_KERNEL);
	if (!cam->to_host || !cam->to_test)
		return -ENOMEM;
	snprintf(cam->name, sizeof(cam->name), "headend-cam%d", socket->index);
	cam->misc.minor = MISC_DYNAMIC_MINOR;
	cam->misc.name = cam->name;
	cam->misc.fops = &cam_fops;
	return misc_register(&cam->misc);
}

void cam_publish(struct socket *socket)
{
	debugfs_create_file("cam", 0644, socket->dir, &socket->cam, &inserted_fops);
	publish_number(socket->dir, "cam_hang_ms", &socket->cam.hang_ms);
	publish_number(socket->dir, "cam_ready_ms", &socket->cam.ready_ms);
}

void cam_destroy(struct socket *socket)
{
	struct cam *cam = &socket->cam;

	if (!IS_ERR_OR_NULL(cam->misc.this_device))
		misc_deregister(&cam->misc);
	kfree(cam->to_host);
	kfree(cam->to_test);
}
