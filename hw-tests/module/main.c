// SPDX-License-Identifier: GPL-2.0
/*
 * Test tuners for Headend: DVB-S/S2 and DVB-T/T2 on dvb-core, without hardware.
 *
 * Transport stream bytes written to /dev/headend-tunerN come out of the adapter's
 * demux while a frontend is locked. The knobs and the journal are in debugfs
 * (knobs.c). The module is an instrument of the tests and no part of the product.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "tuner.h"

#define TS_BYTES 188
#define BOUNCE_BYTES (512 * TS_BYTES)

static int adapters = 1;
module_param(adapters, int, 0444);
MODULE_PARM_DESC(adapters, "how many cards are plugged at the start (default 1, at most 16)");

bool exclusive = true;
module_param(exclusive, bool, 0444);
MODULE_PARM_DESC(exclusive, "one frontend of a card at a time, as on cards with one demodulator path (default yes)");

static struct socket *sockets[SOCKETS_MAX];
static struct dentry *root;

static bool receiving(struct card *card)
{
	return tuner_locked(&card->tuners[TERRESTRIAL]) || tuner_locked(&card->tuners[SATELLITE]);
}

/* Like the air: what is sent while nobody is tuned in is gone. */
static ssize_t air_write(struct file *file, const char __user *buf, size_t count, loff_t *at)
{
	struct socket *socket = container_of(file->private_data, struct socket, misc);
	size_t done = 0;

	while (done < count) {
		size_t bytes = min_t(size_t, count - done, BOUNCE_BYTES);

		mutex_lock(&socket->feed);
		if (copy_from_user(socket->bounce, buf + done, bytes)) {
			mutex_unlock(&socket->feed);
			return -EFAULT;
		}
		if (socket->card && socket->data && receiving(socket->card)) {
			dvb_dmx_swfilter(&socket->card->demux, socket->bounce, bytes);
			socket->packets_in += bytes / TS_BYTES;
		} else {
			socket->packets_dropped += bytes / TS_BYTES;
		}
		mutex_unlock(&socket->feed);
		done += bytes;
		cond_resched();
	}
	return done;
}

static const struct file_operations air_fops = {
	.owner = THIS_MODULE,
	.write = air_write,
	.llseek = noop_llseek,
};

static void socket_destroy(struct socket *socket)
{
	if (!IS_ERR_OR_NULL(socket->misc.this_device))
		misc_deregister(&socket->misc);
	debugfs_remove_recursive(socket->dir);
	card_unplug(socket);
	cards_free(socket);
	if (!IS_ERR_OR_NULL(socket->parent))
		platform_device_unregister(socket->parent);
	cam_destroy(socket);
	journal_destroy(&socket->journal);
	kfree(socket->bounce);
	kfree(socket);
}

static int socket_open(struct socket *socket)
{
	int err = journal_create(&socket->journal);

	if (err)
		return err;
	socket->bounce = kmalloc(BOUNCE_BYTES, GFP_KERNEL);
	if (!socket->bounce)
		return -ENOMEM;
	socket->parent = platform_device_register_simple("headend-tuner", socket->index, NULL, 0);
	if (IS_ERR(socket->parent))
		return PTR_ERR(socket->parent);
	socket->misc.minor = MISC_DYNAMIC_MINOR;
	socket->misc.name = socket->name;
	socket->misc.fops = &air_fops;
	err = misc_register(&socket->misc);
	if (err)
		return err;
	err = cam_create(socket);
	if (err)
		return err;
	knobs_publish(socket, root);
	return card_plug(socket);
}

static int socket_create(int index)
{
	struct socket *socket = kzalloc(sizeof(*socket), GFP_KERNEL);
	int kind, err;

	if (!socket)
		return -ENOMEM;
	socket->index = index;
	snprintf(socket->name, sizeof(socket->name), "headend-tuner%d", index);
	mutex_init(&socket->plug);
	mutex_init(&socket->feed);
	socket->data = 1;
	for (kind = 0; kind < FRONTENDS; kind++)
		knobs_default(&socket->knobs[kind]);
	err = socket_open(socket);
	if (err)
		socket_destroy(socket);
	else
		sockets[index] = socket;
	return err;
}

static void sockets_destroy(void)
{
	int i;

	for (i = SOCKETS_MAX - 1; i >= 0; i--)
		if (sockets[i])
			socket_destroy(sockets[i]);
	debugfs_remove_recursive(root);
}

static int __init headend_tuner_init(void)
{
	int i, err = 0;

	if (adapters < 1 || adapters > SOCKETS_MAX)
		return -EINVAL;
	root = debugfs_create_dir("headend_tuner", NULL);
	for (i = 0; i < adapters && !err; i++)
		err = socket_create(i);
	if (err)
		sockets_destroy();
	return err;
}

static void __exit headend_tuner_exit(void)
{
	sockets_destroy();
}

module_init(headend_tuner_init);
module_exit(headend_tuner_exit);

MODULE_DESCRIPTION("Headend test tuners on dvb-core");
MODULE_LICENSE("GPL");
