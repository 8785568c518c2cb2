// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection in KVM selftests, by the attributes of the kernel.
 */
#include <fcntl.h>

#include "kvm_util.h"
#include "tdx_fail.h"

#define DEBUGFS			"/sys/kernel/debug/"
#define LAST			DEBUGFS "fail_seamcall/last"

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	TEST_ASSERT(fd >= 0, "Cannot open %s, errno %d", path, errno);
	TEST_ASSERT(write(fd, text, strlen(text)) == strlen(text), "Cannot write %s, errno %d",
		    path, errno);
	close(fd);
}

static void write_number(const char *path, unsigned int nr)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", nr);
	write_file(path, text);
}

bool td_fail_is_present(void)
{
	return !access(LAST, R_OK | W_OK) && !access("/proc/self/fail-nth", R_OK | W_OK) &&
	       !access(DEBUGFS "failslab", X_OK) && !access(DEBUGFS "fail_page_alloc", X_OK);
}

/* Also allocations that may sleep can fail, and none of them is to fill the log. */
static void set_up_attributes(void)
{
	write_file(DEBUGFS "failslab/ignore-gfp-wait", "N");
	write_file(DEBUGFS "failslab/verbose", "0");
	write_file(DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N");
	write_file(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N");
	write_file(DEBUGFS "fail_page_alloc/min-order", "0");
	write_file(DEBUGFS "fail_page_alloc/verbose", "0");
	write_file(DEBUGFS "fail_seamcall/verbose", "0");
	write_file(DEBUGFS "fail_seamcall/leaf", "0");
	write_file(DEBUGFS "fail_seamcall/status", "0");
}

void td_fail_attach(struct td_fail *f, pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fail-nth", tid);
	f->fd = open(path, O_RDWR);
	TEST_ASSERT(f->fd >= 0, "Cannot open %s, errno %d", path, errno);
}

void td_fail_plan(struct td_fail *f, unsigned int nth, unsigned int variant,
		  unsigned int repeat)
{
	*f = (struct td_fail) { .left = nth };
	td_fail_attach(f, gettid());
	set_up_attributes();
	write_number(DEBUGFS "fail_seamcall/variant", variant);
	write_number(DEBUGFS "fail_seamcall/repeat", repeat);
	write_file(LAST, "0");
}

static void set_nth(struct td_fail *f, unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	TEST_ASSERT(pwrite(f->fd, text, len, 0) == len, "Cannot write fail-nth, errno %d", errno);
}

static void read_last(struct td_fail *f)
{
	FILE *file = fopen(LAST, "r");

	TEST_ASSERT(file && fscanf(file, "%u %u %lx", &f->leaf, &f->nr_variants, &f->status) == 3,
		    "Cannot read " LAST);
	fclose(file);
	/* What is left of the repetitions is not for the next command. */
	write_file(LAST, "0");
}

void td_fail_arm(struct td_fail *f)
{
	if (f->left)
		set_nth(f, f->left);
}

void td_fail_disarm(struct td_fail *f)
{
	int err = errno;
	char text[16] = {};

	if (!f->left)
		return;

	TEST_ASSERT(pread(f->fd, text, sizeof(text) - 1, 0) > 0, "Cannot read fail-nth");
	f->left = strtoul(text, NULL, 10);
	set_nth(f, 0);
	if (!f->left) {
		f->reached = true;
		read_last(f);
	}
	errno = err;
}

void td_fail_end(struct td_fail *f)
{
	close(f->fd);
	f->fd = -1;
}

/* Open all the time, as also opening it takes memory. */
static int limit_fd;

static void write_limit(const char *on)
{
	TEST_ASSERT(pwrite(limit_fd, on, 1, 0) == 1, "Cannot write make-it-fail, errno %d", errno);
}

void td_fail_limit_pages(unsigned int nr_pages)
{
	limit_fd = open("/proc/thread-self/make-it-fail", O_WRONLY);
	TEST_ASSERT(limit_fd >= 0, "Cannot open make-it-fail, errno %d", errno);
	set_up_attributes();
	write_file(DEBUGFS "fail_page_alloc/task-filter", "Y");
	write_file(DEBUGFS "fail_page_alloc/times", "-1");
	/* An allocation has to leave some of the space. */
	write_number(DEBUGFS "fail_page_alloc/space", nr_pages + 1);
	write_file(DEBUGFS "fail_page_alloc/probability", "100");
	write_limit("1");
}

void td_fail_unlimit_pages(void)
{
	int err = errno;

	write_limit("0");
	close(limit_fd);
	write_file(DEBUGFS "fail_page_alloc/probability", "0");
	write_file(DEBUGFS "fail_page_alloc/space", "0");
	write_file(DEBUGFS "fail_page_alloc/task-filter", "N");
	errno = err;
}
