// SPDX-License-Identifier: GPL-2.0-only
/*
 * Updates of the TDX module: none while a TD is being migrated, on either side.
 *
 * The image is not one, and the software platform refuses to shut down its TDX
 * module for it.  So no update ever takes place here.
 */
#include <fcntl.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_test.h"
#include "tdx_sim_util.h"

#define FW_UPLOAD		"/sys/class/firmware/tdx_module/"

#define IMAGE_VERSION		0x200
/* Header, signature, and a module of one page. */
#define IMAGE_SIZE		(3 * PAGE_SIZE)

TD_WORKER_FIXTURE(td_worker, 1);

struct image_header {
	u16 version;
	u16 checksum;
	u8 signature[8];
	u32 nr_signature_pages;
	u32 nr_module_pages;
} __packed;

/* ----------------------------------------------------------------- updates */

static void write_file(const char *path, const void *buf, size_t len)
{
	size_t done = 0;
	ssize_t ret;
	int fd;

	fd = open(path, O_WRONLY);
	TEST_ASSERT(fd >= 0, "Cannot open %s, errno %d (%s)", path, errno, strerror(errno));
	while (done < len) {
		ret = write(fd, (const u8 *)buf + done, len - done);
		TEST_ASSERT(ret > 0, "Cannot write %s, errno %d (%s)", path, errno,
			    strerror(errno));
		done += ret;
	}
	close(fd);
}

static void read_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "r");

	TEST_ASSERT(f && fgets(line, size, f), "Cannot read %s, errno %d (%s)", path, errno,
		    strerror(errno));
	fclose(f);
	line[strcspn(line, "\n")] = '\0';
}

static void expect_update(const char *expected)
{
	static u8 image[IMAGE_SIZE];
	struct image_header header = {
		.version = IMAGE_VERSION,
		.signature = "TDX-BLOB",
		.nr_signature_pages = 1,
		.nr_module_pages = 1,
	};
	char line[80];

	memcpy(image, &header, sizeof(header));
	write_file(FW_UPLOAD "loading", "1", 1);
	write_file(FW_UPLOAD "data", image, sizeof(image));

	td_sim_busy_leaf(TDH_SYS_SHUTDOWN);
	write_file(FW_UPLOAD "loading", "0", 1);
	do {
		usleep(1000);
		read_line(FW_UPLOAD "status", line, sizeof(line));
	} while (strcmp(line, "idle"));
	td_sim_busy_leaf(0);

	read_line(FW_UPLOAD "error", line, sizeof(line));
	TEST_ASSERT(!strcmp(line, expected), "The update ended with '%s', expected '%s'", line,
		    expected);
}

static void expect_refused(void)
{
	expect_update("transferring:device-busy");
}

/* It gets as far as it can get here. */
static void expect_tried(void)
{
	expect_update("transferring:firmware-invalid");
}

/* ------------------------------------------------------------------- tests */

TD_TEST_F(td_worker, tdx_module_is_not_updated_during_an_export)
{
	expect_tried();
	expect_tried();
	td_mig_init(&self->m, self->w.vm, self->w.vcpus, 1, 1);
	expect_tried();
	td_worker_log(&self->w, true);
	td_mig_export_immutable(&self->m);
	expect_refused();
	td_worker_precopy(&self->w, &self->m, 0, 8);
	td_mig_export_pause(&self->m);
	expect_refused();
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	expect_tried();
	td_mig_free(&self->m);

	/* Canceled by KVM, it is not over yet. */
	td_worker_begin(&self->w, &self->m, 1);
	td_worker_precopy(&self->w, &self->m, 0, 8);
	vm_guest_mem_punch_hole(self->w.vm, td_worker_gpa(0), PAGE_SIZE);
	expect_refused();
	td_mig_cmd(&self->m.streams[0], KVM_TDX_MIG_EXPORT_ABORT);
	expect_tried();
}

TD_TEST_F(td_worker, session_that_does_not_start_does_not_keep_the_tdx_module)
{
	u64 nr;

	td_mig_open(&self->m, self->w.vm, self->w.vcpus, 1, 1);
	/* There is no key. */
	TD_EXPECT_ERRNO(EIO, __td_mig_cmd_nr(&self->m.streams[0],
					     KVM_TDX_MIG_EXPORT_STATE_IMMUTABLE, &nr, NULL));
	expect_tried();
}

TD_TEST(tdx_module_is_not_updated_during_an_import)
{
	struct td_mig_dest d;
	struct td_worker w;
	struct td_mig m;

	td_worker_create(&w, 1);
	td_worker_begin(&w, &m, 1);
	td_worker_export_rest(&m, false);
	expect_refused();
	td_mig_dest_create(&d, &m);
	td_mig_import(&d, &m, 0, 0);
	/* The end of the source is the end of its session, and not of the other one. */
	td_mig_destroy_src(&m);
	expect_refused();
	td_mig_import(&d, &m, 1, m.nr_bundles - 1);
	expect_refused();
	td_mig_import_end(&d);
	expect_tried();
	td_mig_dest_free(&d);
	td_mig_free(&m);
}

TD_TEST(tdx_module_can_be_updated_when_the_vms_are_gone)
{
	struct td_mig_dest d;
	struct td_worker w;
	struct td_mig m;

	td_worker_create(&w, 1);
	td_worker_begin(&w, &m, 1);
	td_worker_export_rest(&m, false);
	td_mig_dest_create(&d, &m);
	td_mig_import(&d, &m, 0, 2);
	td_mig_cmd(&d.streams[0], KVM_TDX_MIG_IMPORT_ABORT);
	expect_refused();
	td_mig_free(&m);
	td_worker_free(&w);
	expect_refused();
	td_mig_dest_free(&d);
	expect_tried();
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());
	TEST_REQUIRE(td_sim_is_present());
	TEST_REQUIRE(!access(FW_UPLOAD "loading", W_OK));

	return test_harness_run(argc, argv);
}
