//! The project's own `ansible.cfg`: what it sets counts for matters of taste; where a run depends on
//! ours, ours wins and says so. Pure but for reading the file.

use std::{collections::BTreeMap, path::Path};

/// Settings that fastDeploy keeps for itself: section, key, and why.
const OURS: [(&str, &str, &str); 12] = [
    ("defaults", "host_key_checking", "servers are recognised by credentials.knownHosts"),
    ("ssh_connection", "host_key_checking", "servers are recognised by credentials.knownHosts"),
    ("defaults", "local_tmp", "what may be secret stays in memory"),
    ("ssh_connection", "control_path_dir", "what may be secret stays in memory"),
    ("ssh_connection", "control_path", "what may be secret stays in memory"),
    ("ssh_connection", "pipelining", "options.pipelining of the Service says so"),
    ("connection", "pipelining", "options.pipelining of the Service says so"),
    ("defaults", "retry_files_enabled", "a Deployment with failedOf does that"),
    ("defaults", "ask_pass", "nobody sits at a keyboard; put the password into a Secret"),
    ("defaults", "ask_vault_pass", "nobody sits at a keyboard; see credentials.vaultPasswords"),
    ("privilege_escalation", "become_ask_pass", "nobody sits at a keyboard; see credentials.become"),
    ("defaults", "force_color", "output is text"),
];

/// What an `ansible.cfg` sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    values: BTreeMap<(String, String), String>,
}

impl Project {
    /// The file beside the playbook's start, if there is one.
    pub fn read(root: &Path) -> Self {
        let text = std::fs::read(root.join("ansible.cfg")).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// As Python's configparser reads it for Ansible: `key = value` or `key: value`, comments begin with
    /// `#` or `;`, a line that is indented goes on with the value before.
    pub fn parse(text: &str) -> Self {
        let mut values = BTreeMap::new();
        let mut section = String::new();
        let mut last: Option<(String, String)> = None;
        for line in text.lines() {
            let whole = line.trim();
            if whole.is_empty() || whole.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with([' ', '\t'])
                && let Some(key) = &last
            {
                let value: &mut String = values.entry(key.clone()).or_default();
                value.push('\n');
                value.push_str(without_comment(whole));
                continue;
            }
            if let Some(name) = whole.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                name.clone_into(&mut section);
                last = None;
                continue;
            }
            let (key, value) = whole.split_at(whole.find(['=', ':']).unwrap_or(whole.len()));
            let key = (section.clone(), key.trim().to_ascii_lowercase());
            values.insert(key.clone(), without_comment(value.get(1..).unwrap_or_default()).to_owned());
            last = Some(key);
        }
        Self { values }
    }

    /// What a key is set to.
    pub fn get(&self, section: &str, key: &str) -> Option<&str> {
        let value = self.values.get(&(section.to_owned(), key.to_owned()))?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// A sentence for each setting that does not count. `pipelining`: what the Service says of it.
    pub fn overruled(&self, pipelining: bool, key: bool, user: bool) -> Vec<String> {
        let mut list: Vec<(&str, &str, &str)> = OURS
            .iter()
            .copied()
            .filter(|(section, name, _)| self.differs(section, name, pipelining))
            .collect();
        if key && self.get("defaults", "private_key_file").is_some() {
            list.push(("defaults", "private_key_file", "credentials.ssh of the Service has a key"));
        }
        if user && self.get("defaults", "remote_user").is_some() {
            list.push(("defaults", "remote_user", "credentials.ssh.user of the Service says who"));
        }
        list.into_iter()
            .map(|(section, name, why)| {
                format!("[fastDeploy] {name} in [{section}] of ansible.cfg does not count here: {why}")
            })
            .collect()
    }

    fn differs(&self, section: &str, name: &str, pipelining: bool) -> bool {
        let Some(value) = self.get(section, name) else { return false };
        let on = ["true", "yes", "on", "1", "t", "y"].contains(&value.to_ascii_lowercase().as_str());
        match name {
            "host_key_checking" => !on,
            "pipelining" => on != pipelining,
            "ask_pass" | "ask_vault_pass" | "become_ask_pass" | "retry_files_enabled" | "force_color" => on,
            _ => true,
        }
    }
}

/// Ansible takes what follows ` ;` for a comment.
fn without_comment(value: &str) -> &str {
    let value = value.trim();
    let end =
        value.match_indices(';').find(|(at, _)| *at == 0 || value[..*at].ends_with(char::is_whitespace));
    end.map_or(value, |(at, _)| value[..at].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CFG: &str = "
# of the project
[defaults]
Forks = 30 ; many
host_key_checking: False
roles_path = roles:
    ../shared
[ssh_connection]
pipelining=True
ssh_args = -o ControlMaster=no;x
";

    #[test]
    fn it_is_read_as_ansible_reads_it() {
        let project = Project::parse(CFG);
        assert_eq!(project.get("defaults", "forks"), Some("30"));
        assert_eq!(project.get("defaults", "roles_path"), Some("roles:\n../shared"));
        assert_eq!(project.get("ssh_connection", "ssh_args"), Some("-o ControlMaster=no;x"));
        assert_eq!(project.get("defaults", "pipelining"), None);
    }

    #[test]
    fn what_does_not_count_is_said() {
        let said = Project::parse(CFG).overruled(true, false, false);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("host_key_checking") && said[0].contains("knownHosts"), "{said:?}");
        assert_eq!(Project::parse(CFG).overruled(false, false, false).len(), 2);
        let asks =
            Project::parse("[privilege_escalation]\nbecome_ask_pass = yes\n[defaults]\nremote_user=x\n");
        assert_eq!(asks.overruled(true, true, true).len(), 2);
        assert_eq!(Project::parse("no section\n=\n[\n[]\n:x"), Project::parse("no section\n=\n[\n[]\n:x"));
    }
}
