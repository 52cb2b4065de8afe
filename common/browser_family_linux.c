/* The families on Linux. "not run" of all that Debian does not have: their paths are what the
 * sources say. */
#include "common/browser_family.h"

#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define COMM_MAX 15 /* TASK_COMM_LEN without its NUL (proc(5)) */

/* Flatpak's own name of the architecture, which is part of an extension's path. */
#if defined(__x86_64__)
#define FLATPAK_ARCH "x86_64"
#elif defined(__aarch64__)
#define FLATPAK_ARCH "aarch64"
#else
#define FLATPAK_ARCH "unknown"
#endif
#define FLATPAK_EXTENSION(name, version)                                                           \
    "/var/lib/flatpak/extension/" name "/" FLATPAK_ARCH "/" version

/* Since version 146: ~/.pki/nssdb if that directory is there, even empty; else the other, which is
 * made. Before, ~/.pki/nssdb alone. */
#define SHARED_DATABASE                                                                            \
    {                                                                                              \
        {BROWSER_HOME, ".pki/nssdb"}, {BROWSER_DATA, "pki/nssdb"}, {                               \
            BROWSER_HOME, NULL                                                                     \
        }                                                                                          \
    }
/* A snap's HOME is $SNAP_USER_DATA (snapcraft.io/docs). */
#define SNAP_DATABASE(name)                                                                        \
    {                                                                                              \
        {BROWSER_HOME, "snap/" name "/current/.pki/nssdb"},                                        \
            {BROWSER_HOME, "snap/" name "/current/.local/share/pki/nssdb"}, {                      \
            BROWSER_HOME, NULL                                                                     \
        }                                                                                          \
    }
/* A Flatpak with --persist=.pki has its ~/.pki there, and its XDG_DATA_HOME beside it
 * (docs.flatpak.org, Sandbox Permissions). */
#define FLATPAK_DATABASE(app)                                                                      \
    {                                                                                              \
        {BROWSER_HOME, ".var/app/" app "/.pki/nssdb"},                                             \
            {BROWSER_HOME, ".var/app/" app "/data/pki/nssdb"}, {                                   \
            BROWSER_HOME, NULL                                                                     \
        }                                                                                          \
    }
#define SNAP_EXECUTABLES(name)                                                                     \
    { "/snap/bin/" name, "/var/lib/snapd/snap/bin/" name }
#define FLATPAK_EXECUTABLES(app)                                                                   \
    { "/var/lib/flatpak/exports/bin/" app }
/* Since version 147: ~/.mozilla/firefox where it is there, else ~/.config/mozilla/firefox. */
#define PROFILE_ROOTS                                                                              \
    {                                                                                              \
        {BROWSER_HOME, ".mozilla/firefox"}, {BROWSER_CONFIG, "mozilla/firefox"}, {                 \
            BROWSER_HOME, NULL                                                                     \
        }                                                                                          \
    }

#define DOCUMENTED "documented"
#define REMEMBERED "remembered"
#define NOT_KNOWN "not known"
#define AT_START ": links the host's files when it is started"
#define OF_CHROMIUM "Chromium's crypto/nss_util.cc, which it is built from"

const struct browser_family browser_families[] = {
    {
        .id = "chromium",
        .name = "Chromium",
        .kind = BROWSER_CHROMIUM,
        .executables =
            {"/usr/bin/chromium", "/usr/lib64/chromium-browser/chromium-browser",
             "/usr/lib/chromium/chromium"},
        .processes = {"chromium", "chromium-browser", "headless_shell", "chromium-headless-shell"},
        .stores = SHARED_DATABASE,
        .data = {BROWSER_CONFIG, "chromium"},
        .store_evidence = {"traced with chromium 156 on Debian 12", "strace"},
        .policy_directory = "/etc/chromium/policies/managed",
        .policy_make = true,
        .policy_evidence =
            {"traced with chromium 156 on Debian 12",
             "strace; chromium.org/administrators/linux-quick-start"},
    },
    {
        .id = "chrome",
        .name = "Google Chrome",
        .kind = BROWSER_CHROMIUM,
        .executables =
            {"/opt/google/chrome/chrome", "/opt/google/chrome-beta/chrome",
             "/opt/google/chrome-unstable/chrome"},
        .processes = {"chrome", "google-chrome"},
        .stores = SHARED_DATABASE,
        .data = {BROWSER_CONFIG, "google-chrome"},
        .store_evidence = {DOCUMENTED, OF_CHROMIUM},
        .policy_directory = "/etc/opt/chrome/policies/managed",
        .policy_evidence = {DOCUMENTED, "support.google.com/chrome/a/answer/9027408"},
    },
    {
        .id = "edge",
        .name = "Microsoft Edge",
        .kind = BROWSER_CHROMIUM,
        .executables =
            {"/opt/microsoft/msedge/msedge", "/opt/microsoft/msedge-beta/msedge",
             "/opt/microsoft/msedge-dev/msedge"},
        .processes = {"msedge", "microsoft-edge"},
        .stores = SHARED_DATABASE,
        .data = {BROWSER_CONFIG, "microsoft-edge"},
        .store_evidence = {REMEMBERED, OF_CHROMIUM},
        .policy_directory = "/etc/opt/edge/policies/managed",
        /* users show it working; Microsoft's list of policies does not offer
         * AutoSelectCertificateForUrls for Linux */
        .policy_evidence =
            {DOCUMENTED, "learn.microsoft.com/answers/questions/2005942 (not by Microsoft); "
                         "github.com/corbindavenport/just-the-browser/issues/1"},
    },
    {
        .id = "brave",
        .name = "Brave",
        .kind = BROWSER_CHROMIUM,
        .executables =
            {"/opt/brave.com/brave/brave", "/opt/brave.com/brave-beta/brave",
             "/opt/brave.com/brave-nightly/brave"},
        .processes = {"brave", "brave-browser"},
        .stores = SHARED_DATABASE,
        .data = {BROWSER_CONFIG, "BraveSoftware/Brave-Browser"},
        .store_evidence = {DOCUMENTED, "github.com/brave/brave-browser/issues/13733"},
        .policy_directory = "/etc/brave/policies/managed",
        .policy_evidence =
            {DOCUMENTED, "github.com/brave/brave-browser/issues/12426; "
                         "brave-core app/brave_main_delegate.cc"},
    },
    {
        .id = "vivaldi",
        .name = "Vivaldi",
        .kind = BROWSER_CHROMIUM,
        .executables = {"/opt/vivaldi/vivaldi-bin", "/opt/vivaldi-snapshot/vivaldi-bin"},
        .processes = {"vivaldi-bin", "vivaldi"},
        .stores = SHARED_DATABASE,
        .data = {BROWSER_CONFIG, "vivaldi"},
        .store_evidence = {REMEMBERED, OF_CHROMIUM},
        /* Chromium's own: Vivaldi's source takes policy::kPolicyPath; that of 2018 had the same
         * path in its place. Recipes name /etc/vivaldi and /etc/opt/vivaldi. */
        .policy_directory = "/etc/chromium/policies/managed",
        .policy_evidence =
            {REMEMBERED, "inferred from Vivaldi's source, in github.com/ric2b/Vivaldi-browser: "
                         "chromium/chrome/common/chrome_paths.cc, DIR_POLICY_FILES"},
    },
    {
        .id = "opera",
        .name = "Opera",
        .kind = BROWSER_CHROMIUM,
        .executables = {"/usr/lib/x86_64-linux-gnu/opera/opera", "/usr/lib64/opera/opera"},
        .processes = {"opera"},
        .stores = SHARED_DATABASE,
        .data = {BROWSER_CONFIG, "opera"},
        .store_evidence = {REMEMBERED, OF_CHROMIUM},
        /* recipes name /etc/opera and /etc/opt/opera */
        .policy_evidence =
            {NOT_KNOWN, "no document of Opera's was found; Flathub's unofficial package names "
                        "/etc/opt/opera/policies (com.opera.Opera opera.sh)"},
    },
    {
        .id = "chromium-snap",
        .name = "Chromium (snap)",
        .kind = BROWSER_CHROMIUM,
        .executables = SNAP_EXECUTABLES("chromium"),
        .processes = {"chrome"},
        .process_prefix = "/snap/chromium/",
        .stores = SNAP_DATABASE("chromium"),
        .data = {BROWSER_HOME, "snap/chromium"},
        .store_evidence = {DOCUMENTED, "mkcert truststore_nss.go; snapcraft.io/docs (HOME)"},
        .policy_directory = "/etc/chromium-browser/policies/managed",
        .policy_evidence =
            {DOCUMENTED, "chromium.org/administrators/linux-quick-start; "
                         "the snap's plug etc-chromium-browser-policies"},
    },
    {
        .id = "chromium-flatpak",
        .name = "Chromium (Flatpak)",
        .kind = BROWSER_CHROMIUM,
        .executables = FLATPAK_EXECUTABLES("org.chromium.Chromium"),
        .processes = {"chrome"},
        .process_prefix = "/app/chromium/",
        /* the manifest has --filesystem=home: ~/.pki is the user's own */
        .stores =
            {{BROWSER_HOME, ".pki/nssdb"},
             {BROWSER_HOME, ".var/app/org.chromium.Chromium/data/pki/nssdb"},
             {BROWSER_HOME, NULL}},
        .data = {BROWSER_HOME, ".var/app/org.chromium.Chromium"},
        .store_evidence =
            {DOCUMENTED, "github.com/flathub/org.chromium.Chromium org.chromium.Chromium.yaml"},
        .policy_directory = FLATPAK_EXTENSION(
            "org.chromium.Chromium.Extension.system-policies", "1") "/policies/managed",
        .policy_evidence =
            {DOCUMENTED,
             "github.com/flathub/org.chromium.Chromium README.md; a report in its issue 78 "
             "disagrees"},
    },
    {
        .id = "chrome-flatpak",
        .name = "Google Chrome (Flatpak)",
        .kind = BROWSER_CHROMIUM,
        .executables = FLATPAK_EXECUTABLES("com.google.Chrome"),
        .processes = {"chrome"},
        .process_prefix = "/app/extra/",
        /* the manifest has no --persist=.pki: before version 146, which reads the second, the
         * database was kept only where the user had added it */
        .stores = FLATPAK_DATABASE("com.google.Chrome"),
        .data = {BROWSER_HOME, ".var/app/com.google.Chrome"},
        .store_evidence =
            {DOCUMENTED,
             "github.com/flathub/com.google.Chrome com.google.Chrome.yaml and issues 69 and 150"},
        .policy_directory = "/etc/opt/chrome/policies/managed",
        .policy_evidence = {DOCUMENTED, "github.com/flathub/com.google.Chrome chrome.sh" AT_START},
    },
    {
        .id = "edge-flatpak",
        .name = "Microsoft Edge (Flatpak)",
        .kind = BROWSER_CHROMIUM,
        .executables = FLATPAK_EXECUTABLES("com.microsoft.Edge"),
        .processes = {"msedge"},
        .process_prefix = "/app/extra/",
        .stores = FLATPAK_DATABASE("com.microsoft.Edge"),
        .data = {BROWSER_HOME, ".var/app/com.microsoft.Edge"},
        .store_evidence =
            {DOCUMENTED, "github.com/flathub/com.microsoft.Edge com.microsoft.Edge.yaml"},
        .policy_directory = "/etc/opt/edge/policies/managed",
        .policy_evidence = {DOCUMENTED, "github.com/flathub/com.microsoft.Edge edge.sh" AT_START},
    },
    {
        .id = "brave-flatpak",
        .name = "Brave (Flatpak)",
        .kind = BROWSER_CHROMIUM,
        .executables = FLATPAK_EXECUTABLES("com.brave.Browser"),
        .processes = {"brave"},
        .process_prefix = "/app/brave/",
        .stores = FLATPAK_DATABASE("com.brave.Browser"),
        .data = {BROWSER_HOME, ".var/app/com.brave.Browser"},
        .store_evidence =
            {DOCUMENTED, "github.com/flathub/com.brave.Browser com.brave.Browser.yaml"},
        .policy_directory = "/etc/brave/policies/managed",
        .policy_evidence = {DOCUMENTED, "github.com/flathub/com.brave.Browser brave.sh" AT_START},
    },
    {
        .id = "brave-snap",
        .name = "Brave (snap)",
        .kind = BROWSER_CHROMIUM,
        .executables = SNAP_EXECUTABLES("brave"),
        .processes = {"brave"},
        .process_prefix = "/snap/brave/",
        .stores = SNAP_DATABASE("brave"),
        .data = {BROWSER_HOME, "snap/brave"},
        .store_evidence = {DOCUMENTED, "QZ Tray LinuxCertificateInstaller.java"},
        .policy_evidence = {NOT_KNOWN, "no document was found that lets the snap see /etc/brave"},
    },
    {
        .id = "vivaldi-flatpak",
        .name = "Vivaldi (Flatpak)",
        .kind = BROWSER_CHROMIUM,
        .executables = FLATPAK_EXECUTABLES("com.vivaldi.Vivaldi"),
        .processes = {"vivaldi"},
        .process_prefix = "/app/vivaldi/",
        .stores = FLATPAK_DATABASE("com.vivaldi.Vivaldi"),
        .data = {BROWSER_HOME, ".var/app/com.vivaldi.Vivaldi"},
        .store_evidence =
            {DOCUMENTED, "github.com/flathub/com.vivaldi.Vivaldi com.vivaldi.Vivaldi.yaml"},
        /* within /app, and the package has no extension there */
        .policy_evidence =
            {NOT_KNOWN, "Vivaldi's source names /app/chromium/extensions/policies "
                        "(chrome_paths.cc)"},
    },
    {
        .id = "vivaldi-snap",
        .name = "Vivaldi (snap)",
        .kind = BROWSER_CHROMIUM,
        .executables = SNAP_EXECUTABLES("vivaldi"),
        .processes = {"vivaldi-bin", "vivaldi"},
        .process_prefix = "/snap/vivaldi/",
        .stores = SNAP_DATABASE("vivaldi"),
        .data = {BROWSER_HOME, "snap/vivaldi"},
        .store_evidence = {REMEMBERED, "snapcraft.io/docs (HOME)"},
        .policy_evidence = {NOT_KNOWN, "no document was found"},
    },
    {
        .id = "opera-flatpak",
        .name = "Opera (Flatpak)",
        .kind = BROWSER_CHROMIUM,
        .executables = FLATPAK_EXECUTABLES("com.opera.Opera"),
        .processes = {"opera"},
        .process_prefix = "/app/opera/",
        .stores = FLATPAK_DATABASE("com.opera.Opera"),
        .data = {BROWSER_HOME, ".var/app/com.opera.Opera"},
        .store_evidence = {DOCUMENTED, "github.com/flathub/com.opera.Opera com.opera.Opera.yaml"},
        .policy_evidence =
            {NOT_KNOWN, "com.opera.Opera opera.sh would link the host's /etc/opt/opera/policies, "
                        "which its com.opera.Opera.yaml does not let it see"},
    },
    {
        .id = "opera-snap",
        .name = "Opera (snap)",
        .kind = BROWSER_CHROMIUM,
        .executables = SNAP_EXECUTABLES("opera"),
        .processes = {"opera"},
        .process_prefix = "/snap/opera/",
        .stores = SNAP_DATABASE("opera"),
        .data = {BROWSER_HOME, "snap/opera"},
        .store_evidence = {DOCUMENTED, "QZ Tray LinuxCertificateInstaller.java"},
        .policy_evidence = {NOT_KNOWN, "no document was found"},
    },
    {
        .id = "firefox-esr",
        .name = "Firefox ESR",
        .kind = BROWSER_FIREFOX,
        .executables = {"/usr/lib/firefox-esr/firefox-esr", "/usr/bin/firefox-esr"},
        .processes = {"firefox-esr"},
        .stores = PROFILE_ROOTS,
        .data = {BROWSER_HOME, NULL},
        .store_evidence = {"traced with firefox-esr 153 on Debian 12", "strace"},
        .policy_directory = "/etc/firefox/policies",
        .policy_evidence = {"traced with firefox-esr 153 on Debian 12", "strace"},
    },
    {
        .id = "firefox",
        .name = "Firefox",
        .kind = BROWSER_FIREFOX,
        .executables =
            {"/usr/lib/firefox/firefox", "/usr/lib64/firefox/firefox", "/opt/firefox/firefox"},
        .processes = {"firefox", "firefox-bin"},
        .stores = PROFILE_ROOTS,
        .data = {BROWSER_HOME, NULL},
        .store_evidence =
            {DOCUMENTED, "firefox-source-docs.mozilla.org: dot-mozilla-reference (bug 259356)"},
        .policy_directory = "/etc/firefox/policies",
        .policy_evidence = {DOCUMENTED, "github.com/mozilla/policy-templates"},
    },
    {
        .id = "firefox-snap",
        .name = "Firefox (snap)",
        .kind = BROWSER_FIREFOX,
        .executables = SNAP_EXECUTABLES("firefox"),
        .processes = {"firefox"},
        .process_prefix = "/snap/firefox/",
        /* the snap's HOME is $SNAP_USER_COMMON */
        .stores =
            {{BROWSER_HOME, "snap/firefox/common/.mozilla/firefox"},
             {BROWSER_HOME, "snap/firefox/common/.config/mozilla/firefox"},
             {BROWSER_HOME, NULL}},
        .data = {BROWSER_HOME, "snap/firefox"},
        .store_evidence =
            {DOCUMENTED, "Mozilla's snap, firefox.snapcraft.yaml.in; npm firefox-profile 4.6.0"},
        .policy_directory = "/etc/firefox/policies",
        .policy_evidence =
            {DOCUMENTED, "github.com/mozilla/policy-templates/issues/936; "
                         "bugzilla.mozilla.org 1717216"},
    },
    {
        .id = "firefox-flatpak",
        .name = "Firefox (Flatpak)",
        .kind = BROWSER_FIREFOX,
        .executables = FLATPAK_EXECUTABLES("org.mozilla.firefox"),
        .processes = {"firefox", "firefox-bin"},
        .process_prefix = "/app/lib/firefox/",
        .stores =
            {{BROWSER_HOME, ".var/app/org.mozilla.firefox/.mozilla/firefox"},
             {BROWSER_HOME, ".var/app/org.mozilla.firefox/config/mozilla/firefox"},
             {BROWSER_HOME, ".var/app/org.mozilla.firefox/.config/mozilla/firefox"},
             {BROWSER_HOME, NULL}},
        .data = {BROWSER_HOME, ".var/app/org.mozilla.firefox"},
        .store_evidence = {DOCUMENTED, "npm firefox-profile 4.6.0; docs.flatpak.org (XDG)"},
        .policy_directory =
            FLATPAK_EXTENSION("org.mozilla.firefox.systemconfig", "stable") "/policies",
        .policy_evidence =
            {DOCUMENTED, "mozilla-central taskcluster/docker/firefox-flatpak (systemconfig)"},
    },
    {0},
};

/* Documented: Debian's package; github.com/flathub/org.mozilla.Thunderbird README.md; of the snap
 * as Firefox's, whose HOME is $SNAP_USER_COMMON. */
const struct browser_place browser_thunderbird_roots[] = {
    {BROWSER_HOME, ".thunderbird"},
    {BROWSER_HOME, "snap/thunderbird/common/.thunderbird"},
    {BROWSER_HOME, ".var/app/org.mozilla.Thunderbird/.thunderbird"},
    {BROWSER_HOME, NULL},
};

const struct browser_family *browser_family_find(const char *id) {
    for (const struct browser_family *family = browser_families; family->id; family++)
        if (strcmp(family->id, id) == 0)
            return family;
    return NULL;
}

const struct browser_family *browser_family_of_policy(const char *directory) {
    for (const struct browser_family *family = browser_families; family->id; family++)
        if (family->policy_directory && strcmp(family->policy_directory, directory) == 0)
            return family;
    return NULL;
}

/* `most`: how many bytes of a known name count. */
static bool has_process(
    const struct browser_family *family, const char *name, size_t length, size_t most) {
    for (const char *const *process = family->processes; *process; process++) {
        size_t known = strlen(*process);

        if (known > most)
            known = most;
        if (known == length && memcmp(*process, name, length) == 0)
            return true;
    }
    return false;
}

static const struct browser_family *of_name(const char *name, size_t length, size_t most) {
    for (const struct browser_family *family = browser_families; family->id; family++)
        if (!family->process_prefix && has_process(family, name, length, most))
            return family;
    return NULL;
}

const struct browser_family *browser_family_of_executable(const char *executable) {
    const char *slash = strrchr(executable, '/');
    const char *name = slash ? slash + 1 : executable;
    size_t length = strcspn(name, " "); /* "chromium (deleted)" */

    for (const struct browser_family *family = browser_families; family->id; family++)
        if (family->process_prefix &&
            strncmp(executable, family->process_prefix, strlen(family->process_prefix)) == 0 &&
            has_process(family, name, length, SIZE_MAX))
            return family;
    return of_name(name, length, SIZE_MAX);
}

const struct browser_family *browser_family_of_comm(const char *comm) {
    return of_name(comm, strlen(comm), COMM_MAX);
}

bool browser_family_is_installed(const struct browser_family *family) {
    for (const char *const *path = family->executables; *path; path++)
        if (access(*path, F_OK) == 0)
            return true;
    return false;
}
