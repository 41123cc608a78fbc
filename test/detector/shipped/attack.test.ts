/**
 * The ATT&CK tags of the shipped rules fit together: each technique belongs to a tactic that the
 * rule names, each tactic has a technique, and each technique is among the references.
 */
import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { it } from 'node:test';
import { ALERTING } from './loaded.ts';

/** Of https://attack.mitre.org, version 17; sub-techniques have the tactics of their technique. */
const TACTICS: Readonly<Record<string, string>> = {
  T1014: 'defense-evasion',
  T1021: 'lateral-movement',
  T1027: 'defense-evasion',
  T1036: 'defense-evasion',
  T1037: 'persistence privilege-escalation',
  T1048: 'exfiltration',
  T1053: 'execution persistence privilege-escalation',
  T1059: 'execution',
  T1070: 'defense-evasion',
  T1072: 'execution lateral-movement',
  T1074: 'collection',
  T1078: 'defense-evasion initial-access persistence privilege-escalation',
  T1087: 'discovery',
  T1090: 'command-and-control',
  T1098: 'persistence privilege-escalation',
  T1105: 'command-and-control',
  T1110: 'credential-access',
  T1119: 'collection',
  T1136: 'persistence',
  T1140: 'defense-evasion',
  T1190: 'initial-access',
  T1195: 'initial-access',
  T1199: 'initial-access',
  T1204: 'execution',
  T1213: 'collection',
  T1222: 'defense-evasion',
  T1484: 'defense-evasion privilege-escalation',
  T1485: 'impact',
  T1486: 'impact',
  T1490: 'impact',
  T1496: 'impact',
  T1526: 'discovery',
  T1528: 'credential-access',
  T1530: 'collection',
  T1531: 'impact',
  T1537: 'exfiltration',
  T1539: 'credential-access',
  T1548: 'defense-evasion privilege-escalation',
  T1550: 'defense-evasion lateral-movement',
  T1552: 'credential-access',
  T1555: 'credential-access',
  T1556: 'credential-access defense-evasion persistence',
  T1562: 'defense-evasion',
  T1567: 'exfiltration',
  T1578: 'defense-evasion',
  T1580: 'discovery',
  T1595: 'reconnaissance',
  T1611: 'privilege-escalation',
  T1648: 'execution',
};

for (const { file, title, tags, references } of ALERTING) {
  it(`${basename(file)}: ${title}`, () => {
    const names = tags.map((tag) => tag.replace(/^attack\./, ''));
    const techniques = names.filter((name) => /^t\d/.test(name)).map((name) => name.toUpperCase());
    const tactics = names.filter((name) => !/^t\d/.test(name));
    const tacticsOf = (technique: string): string[] => {
      const own = TACTICS[technique.split('.')[0]!];
      assert.ok(own !== undefined, `the tactics of ${technique} are in the table`);
      return own.split(' ');
    };
    for (const technique of techniques) {
      const fits = tacticsOf(technique).some((tactic) => tactics.includes(tactic));
      assert.ok(fits, `${technique} is of none of ${tactics.join(', ')}`);
    }
    for (const tactic of tactics) {
      const fits = techniques.some((technique) => tacticsOf(technique).includes(tactic));
      assert.ok(fits, `no technique of ${tactic} among ${techniques.join(', ')}`);
    }
    const referred = references
      .map((url) => /^https:\/\/attack\.mitre\.org\/techniques\/([^/]+)(?:\/(\d+))?\/$/.exec(url))
      .filter((found) => found !== null)
      .map(([, technique, sub]) => (sub === undefined ? technique : `${technique}.${sub}`));
    assert.deepEqual(referred.toSorted(), techniques.toSorted());
  });
}
