// SPDX-License-Identifier: GPL-2.0
/*
 * Replace the kernel by kexec, again and again, while a program runs that migrates TDs.
 *
 * Usage: kexec TIMES SEED PROGRAM, which takes -n MIGRATIONS and -s SEED and prints a line
 *	for each migration
 * In each kernel the test begins anew; vmtest.kexecs= on the command line says how many
 * there were before.  In the last one the program has to come to its end.  No other
 * program is stopped first: all CPUs are in SEAMCALLs, or in TDs, when the TDX module is
 * shut down and virtualization is switched off.  What kernels complain of meanwhile is on
 * the console, and one that complains panics.
 *
 * The kernel and its initramfs are files of a folder that the emulator shares as "boot".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTION		"vmtest.kexecs="
#define BOOT		"/tmp/boot"
/* For what comes at last to get to the other end of the line. */
#define DRAIN_US	200000
/* A migration takes less. */
#define MAX_DELAY_US	2000000
#define LAST_MIGRATIONS	"2"

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *fmt, ...)
{
	va_list args;

	printf("not ok 1 kexec: ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	exit(1);
}

/* The command line, without what this program has added before, and what that was. */
static unsigned int read_command_line(char *line, size_t size)
{
	FILE *f = fopen("/proc/cmdline", "r");
	unsigned int kexecs = 0;
	char *option;

	if (!f || !fgets(line, size, f))
		fail("/proc/cmdline: %s", strerror(errno));
	fclose(f);
	line[strcspn(line, "\n")] = 0;

	option = strstr(line, " " OPTION);
	if (option) {
		kexecs = strtoul(option + strlen(" " OPTION), NULL, 10);
		*option = 0;
	}
	return kexecs;
}

static int open_boot_file(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		fail("%s: %s", path, strerror(errno));
	return fd;
}

static void load_kernel(char *line, size_t size, unsigned int kexecs)
{
	int kernel, initramfs;
	size_t len = strlen(line);

	if (mkdir(BOOT, 0755) ||
	    mount("boot", BOOT, "9p", MS_RDONLY, "trans=virtio,version=9p2000.L"))
		fail("the folder with the kernel: %s", strerror(errno));
	kernel = open_boot_file(BOOT "/kernel");
	initramfs = open_boot_file(BOOT "/initramfs");

	snprintf(line + len, size - len, " " OPTION "%u", kexecs);
	if (syscall(SYS_kexec_file_load, kernel, initramfs, strlen(line) + 1, line, 0UL))
		fail("kexec_file_load: %s", strerror(errno));
	close(kernel);
	close(initramfs);
	umount(BOOT);
}

/* Start @program, whose output is at the other end of a pipe. */
static FILE *start(const char *program, const char *migrations, const char *seed, pid_t *pid)
{
	int fds[2];

	if (pipe(fds))
		fail("pipe: %s", strerror(errno));
	fflush(stdout);
	*pid = fork();
	if (!*pid) {
		dup2(fds[1], STDOUT_FILENO);
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		execl(program, program, "-n", migrations, "-s", seed, NULL);
		_exit(127);
	}
	close(fds[1]);
	return fdopen(fds[0], "r");
}

/* The results of @program are none of this test. */
static void say(const char *line)
{
	printf("# %s", line[0] == '#' ? line + 2 : line);
}

/* Returns after the first migration of @program, in the midst of another one. */
static void migrate(const char *program, const char *seed, unsigned int kexecs)
{
	unsigned short state[3] = { strtoul(seed, NULL, 0), kexecs, 0 };
	useconds_t delay = erand48(state) * MAX_DELAY_US;
	char line[512];
	pid_t pid;
	FILE *f = start(program, "1000000", seed, &pid);

	do {
		if (!fgets(line, sizeof(line), f))
			fail("%s ended early", program);
		say(line);
	} while (!strstr(line, "migration 1,"));
	printf("# kexec number %u, after %u us\n", kexecs, (unsigned int)delay);
	usleep(DRAIN_US + delay);
	/* It has not died meanwhile. */
	if (waitpid(pid, NULL, WNOHANG))
		fail("%s ended early", program);
}

static int migrate_to_the_end(const char *program, const char *seed)
{
	char line[512];
	int status;
	pid_t pid;
	FILE *f = start(program, LAST_MIGRATIONS, seed, &pid);

	while (fgets(line, sizeof(line), f))
		say(line);
	fclose(f);
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

int main(int argc, char *argv[])
{
	/* As long as kernels take. */
	char line[2048];
	unsigned int kexecs, times;
	int status;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 4)
		fail("usage: kexec TIMES SEED PROGRAM");
	times = strtoul(argv[1], NULL, 0);
	printf("1..2\n");

	kexecs = read_command_line(line, sizeof(line));
	if (kexecs < times) {
		load_kernel(line, sizeof(line), kexecs + 1);
		migrate(argv[3], argv[2], kexecs + 1);
		syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
			LINUX_REBOOT_CMD_KEXEC, NULL);
		fail("reboot: %s", strerror(errno));
	}

	printf("ok 1 the kernel is replaced %u times while TDs migrate\n", kexecs);
	status = migrate_to_the_end(argv[3], argv[2]);
	printf("%sok 2 TDs migrate in the last kernel\n", status ? "not " : "");
	return !!status;
}
