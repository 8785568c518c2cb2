// SPDX-License-Identifier: GPL-2.0
/*
 * Sending and receiving frames.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event.h"
#include "wire.h"

#define WIRE_MAX_FRAME		(4UL << 20)

static_assert(WIRE_MAX_BUNDLE <= WIRE_MAX_FRAME, "a bundle must fit into a frame");
static_assert(sizeof(struct wire_shared_pages) <= WIRE_MAX_FRAME, "pages must fit into a frame");

static u64 bytes_sent;

u64 wire_bytes_sent(void)
{
	return bytes_sent;
}

bool wire_send_data(int fd, const void *data, size_t len)
{
	const u8 *p = data;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes_sent += n;
		p += n;
		len -= n;
	}
	return true;
}

bool wire_send_header(int fd, u32 type, size_t len)
{
	const struct wire_header header = {
		.magic = WIRE_MAGIC,
		.version = WIRE_VERSION,
		.type = type,
		.len = len,
	};

	return wire_send_data(fd, &header, sizeof(header));
}

bool wire_send(int fd, u32 type, const void *data, size_t len)
{
	return wire_send_header(fd, type, len) && wire_send_data(fd, data, len);
}

static bool receive_data(int fd, void *data, size_t len)
{
	u8 *p = data;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		len -= n;
	}
	return true;
}

bool wire_receive(int fd, struct wire_frame *frame)
{
	static u8 *buffer;
	struct wire_header header;

	if (!buffer)
		buffer = aligned_alloc(PAGE_SIZE, WIRE_MAX_FRAME);
	if (!buffer)
		die("out of memory");

	if (!receive_data(fd, &header, sizeof(header)) ||
	    header.magic != WIRE_MAGIC || header.version != WIRE_VERSION ||
	    !header.type || header.type >= WIRE_NR_TYPES || header.len > WIRE_MAX_FRAME ||
	    !receive_data(fd, buffer, header.len))
		return false;

	frame->type = header.type;
	frame->len = header.len;
	frame->data = buffer;
	return true;
}

bool wire_receive_fixed(int fd, u32 type, void *data, size_t len)
{
	struct wire_frame frame;

	if (!wire_receive(fd, &frame) || frame.type != type || frame.len != len)
		return false;
	memcpy(data, frame.data, len);
	return true;
}
